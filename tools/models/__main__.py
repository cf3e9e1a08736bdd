"""Compare every family of CLIPs with its own library, and write the table of docs/models.md.

python -m tools.models --small           # a few narrow layers per family: seconds
python -m tools.models                   # real configurations with random weights: minutes, 9 GB of memory
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from kdpl.guard import run_command

from .families import FAMILIES
from .measuring import LARGEST, Comparison, compare, compare_transformers
from .page import page

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparisons; the exit code is 1 if a difference is too large."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="small models; the page is not written")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "models.md", help="default: %(default)s")
    args = parser.parse_args(arguments)
    comparisons = []
    for found in compare_all(args.small):
        print(f"{found.family:34} {found.member:32} text {found.text:8.1e}   image {found.image:8.1e}", flush=True)
        comparisons.append(found)
    if not args.small:
        args.output.parent.mkdir(exist_ok=True)
        args.output.write_text(page(comparisons), encoding="utf-8")
        print(f"Written: {args.output}")
    return int(any(max(found.text, found.image) > LARGEST for found in comparisons))


def compare_all(small: bool) -> Iterator[Comparison]:
    """Compare the families one after the other, so that only one is in memory."""
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            yield compare(family, Path(folder), small)
    with tempfile.TemporaryDirectory() as folder:
        yield compare_transformers(Path(folder), small)


if __name__ == "__main__":
    run_command(main)
