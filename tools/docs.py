"""Build the documentation, and check that generated pages are up to date and links work.

python -m tools.docs                # check everything and build into site/
python -m tools.docs --write        # first regenerate docs/methods.md from kdpl/methods.py
mkdocs serve                        # preview while writing
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kdpl.guard import guarded, run_command
from kdpl.methods import METHODS, Method
from tools.sweep.local_engine import ROOT

METHODS_PAGE = Path("docs/methods.md")
PAGES = ("README.md", "CONTRIBUTING.md", "DATASETS.md", "CHANGELOG.md", "SECURITY.md", "assets/published/README.md")
INTRODUCTION = """# Methods and settings

`python -m tools.docs --write` generates this page from `kdpl/methods.py`.

Every method has two trainers: one learns from labels (`CoOp`), the other from a teacher (`CoOp_KDPL`). The second also
trains without class names, with `TRAINER.KDPL.CLASS_AGNOSTIC True`. In the library, the method is an argument:

```python
kdpl.distill("photos", ["sparrow", "robin"], method="MaPLe", settings={"depth": 6})
```

Defaults are the published values. The first column of each table has the names for `settings=` in the library, the
second the keys of a configuration. In addition, each method and `TRAINER.KDPL` have a precision, `PREC`: fp32, bf16,
fp16, amp or auto (see [Performance](performance.md)).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if a page is out of date, a link is broken or the build gives a warning."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.docs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="regenerate generated pages")
    parser.add_argument("--site", type=Path, default=Path("site"), help="folder to build into (default: site)")
    args = parser.parse_args(arguments)
    return guarded(lambda: build(args.write, args.site.absolute()))


def build(write: bool, site: Path) -> int:
    """Check and build, printing any problems."""
    if site.exists() and not site.is_dir():
        raise ValueError(f"--site is {site}, a file; name a folder to build into.")
    page, problems = methods_page(), []
    if write:
        (ROOT / METHODS_PAGE).write_text(page, encoding="utf-8")
    elif (ROOT / METHODS_PAGE).read_text(encoding="utf-8") != page:
        problems.append(f"{METHODS_PAGE} is out of date: python -m tools.docs --write")
    problems += broken_links(ROOT)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]  # --quiet hides warnings
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if built.returncode:
        problems += [line for line in built.stderr.splitlines() if not line.startswith("INFO")]
    print("\n".join(problems) or f"The documentation is in {site}.")
    return int(bool(problems))


def methods_page() -> str:
    """The text of docs/methods.md."""
    rows = [
        f"| [{m.name}](#{m.name.lower()}) | {m.source} | {_learned(m)} | {m.epochs} | {m.batch_size} | {m.lr} |"
        for m in METHODS.values()
    ]
    head = "| method | source | prompts enter | epochs | batch | learning rate |\n|---|---|---|---|---|---|\n"
    return "\n".join([INTRODUCTION, head + "\n".join(rows), *(_section(m) for m in METHODS.values())])


def _learned(method: Method) -> str:
    towers = ["the text tower"] * method.learner.learns_text + ["the image tower (ViT only)"] * (
        method.learner.learns_visual
    )
    return " and ".join(towers)


def _section(method: Method) -> str:
    lines = [
        f"| `{name}` | `{setting.key}` | `{setting.default!r}` | {setting.meaning} |"
        for name, setting in method.all_settings.items()
    ]
    table = "| setting | key | published | meaning |\n|---|---|---|---|\n" + "\n".join(lines)
    about = (method.learner.__doc__ or "").strip().splitlines()[0]
    files = f"Configurations: `configs/trainers/{method.name}`, such as `{method.config.format('vit_b32')}.yaml`."
    return f"\n## {method.name}\n\n{about} Keys are under `TRAINER.{method.node}`. {files}\n\n{table}\n"


def broken_links(root: Path) -> list[str]:
    """Broken links to files of this repository in pages outside docs/; mkdocs checks the others."""
    return [
        f"{name}: the link to {target} is broken"
        for name in PAGES
        if (root / name).is_file()
        for target in _links((root / name).read_text(encoding="utf-8"))
        if not ((root / name).parent / target).exists()
    ]


def _links(text: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not re.match(r"[a-z]+:|#", target):
            yield target.partition("#")[0]


if __name__ == "__main__":
    run_command(main)
