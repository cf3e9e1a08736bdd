"""The verification report as an HTML page."""

from collections import Counter
from typing import Any

from ..pages import FOLDER, render
from .checks import FAIL, PASS, SKIPPED


def page(report: dict[str, Any]) -> str:
    """The HTML page for a report with the content of ``verification.json``."""
    failed = [check for check in report["checks"] if check["status"] == FAIL]
    counts = Counter(check["status"] for check in report["checks"])
    values = {"failed": failed, "passed": counts[PASS], "skipped": counts[SKIPPED], "date": report["finished"][:10]}
    return render(
        FOLDER / "verification.html.j2",
        "Verification",
        report=report,
        share_of=_share_of,
        errors_of=_errors_of,
        **values,
    )


def _share_of(check: dict[str, Any]) -> float | str:
    """The largest difference relative to its tolerance; empty if nothing was measured."""
    if "share" in check["differences"] or "correlation" in check["differences"]:
        return ""  # larger is better
    shares = [value / check["tolerance"][name] for name, value in check["differences"].items()]
    return max(shares) if shares else ""


def _errors_of(check: dict[str, Any]) -> str:
    return ", ".join(f"{n}: {v:.2g} of {check['tolerance'][n]:.2g}" for n, v in check["differences"].items())
