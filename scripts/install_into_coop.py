"""Puts the KDPL trainers into a CoOp checkout, or takes them out again; see install_into_coop.sh."""

import argparse
import ast
import hashlib
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("trainers/kdpl/**/*.py", "trainers/*_kdpl.py", "configs/trainers/*_KDPL/*")
LANDMARKS = ("train.py", "trainers/coop.py", "clip/clip.py", "configs/trainers")  # this repository has no clip/
INSTALLED = "trainers/kdpl/installed.json"  # file: SHA-256 of what was copied

MARK = "  # KDPL"
MODULES = ("kdpl.config", "coop_kdpl", "cocoop_kdpl", "vpt_kdpl", "maple_kdpl", "promptsrc_kdpl")
IMPORT = f"import {', '.join(f'trainers.{module}' for module in MODULES)}{MARK}"
EXTEND = f"trainers.kdpl.config.extend_cfg({{cfg}}){MARK}"
OUR_LINE = re.compile(
    rb"\r?\n[ \t]*(?:import trainers\.kdpl\.config, .*|trainers\.kdpl\.config\.extend_cfg\(\w+\))"
    + MARK.encode()
    + rb"(?=\r?\n|\Z)"
)

atomic_path = runpy.run_path(str(ROOT / "trainers/kdpl/atomic_files.py"))["atomic_path"]  # no import: that needs torch


def check_is_coop(coop: Path) -> None:
    missing = [name for name in LANDMARKS if not (coop / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{coop} is no CoOp checkout: it has no {', no '.join(missing)}. Looked for {', '.join(LANDMARKS)}. "
            "Give the folder of `git clone https://github.com/KaiyangZhou/CoOp`."
        )
    if (coop / "trainers/kdpl").resolve() == ROOT / "trainers/kdpl":
        raise ValueError(f"{coop}/trainers/kdpl is a link to this repository's: --remove would delete that. Unlink it.")


def our_files() -> dict[str, bytes]:
    """Path relative to either repository -> content."""
    found = {file for pattern in PATTERNS for file in ROOT.glob(pattern) if file.name != "demo.yaml"}  # of this place
    return {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in sorted(found)}


def installed_before(coop: Path) -> dict[str, str]:
    record = coop / INSTALLED
    return json.loads(record.read_text()) if record.is_file() else {}


def is_ours(coop: Path, name: str, files: dict[str, bytes], before: dict[str, str]) -> bool:
    """Whether a file in the checkout is as it was installed, or as it would be now."""
    content = (coop / name).read_bytes()
    return content == files.get(name) or sha256(content) == before.get(name)


def install(coop: Path, apply: bool) -> None:
    files, before = our_files(), installed_before(coop)
    foreign = [name for name in files if (coop / name).exists() and not is_ours(coop, name, files, before)]
    if foreign:
        raise ValueError(
            f"{coop} has files of its own, or changed ones, where ours would go: {', '.join(foreign)}. "
            "Nothing was written. Move them away, or rename them, and run this again."
        )
    train = coop / "train.py"
    now = train.read_bytes()
    missing = missing_lines(now)
    if apply:
        edited = with_lines(now, missing)  # before anything is written: it may refuse

    for name, content in files.items():
        if not (coop / name).exists() or (coop / name).read_bytes() != content:
            write(coop / name, content)
    outdated = [name for name in before if name not in files and (coop / name).is_file()]
    remove_files(coop, [name for name in outdated if is_ours(coop, name, files, before)])
    record = json.dumps({name: sha256(content) for name, content in files.items()}, indent=1).encode() + b"\n"
    if not (coop / INSTALLED).exists() or (coop / INSTALLED).read_bytes() != record:
        write(coop / INSTALLED, record)
    print(f"{len(files)} files are in {coop}: " + ", ".join(PATTERNS))

    if not missing:
        print("train.py has its two lines.")
    elif apply:
        write(train, edited)
        print("Added to train.py:")
        print_lines(missing)
    else:
        print("train.py needs these lines; --apply adds them:")
        print_lines(missing)
    print("--remove takes all of this out again.")


def remove(coop: Path) -> None:
    train = coop / "train.py"
    now = train.read_bytes()
    before = OUR_LINE.sub(b"", now)
    if before != now:
        write(train, before)
    files, record = our_files(), installed_before(coop)
    present = [name for name in {**record, **files} if (coop / name).is_file()]
    ours = [name for name in present if is_ours(coop, name, files, record)]
    remove_files(coop, ours + [INSTALLED] * (coop / INSTALLED).is_file())
    print(f"Removed {len(ours)} files from {coop}" + (", and the lines in its train.py." if before != now else "."))
    if kept := [name for name in present if name not in ours]:
        print(f"Kept, as they are not as they were installed: {', '.join(kept)}")


def missing_lines(source: bytes) -> list[tuple[str, int | None]]:
    """The lines that train.py lacks, each with the line (from 1) after which it belongs, None if that is not clear."""
    tree = ast.parse(source)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    of_trainers = [node for node in imports if "trainers" in ast.unparse(node)]
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "extend_cfg"
        and len(node.value.args) == 1
        and isinstance(node.value.args[0], ast.Name)
    ]
    cfg = calls[0].value.args[0].id if calls else "cfg"
    wanted = [
        (IMPORT, of_trainers[-1].end_lineno if of_trainers else None),
        (EXTEND.format(cfg=cfg), calls[0].end_lineno if calls else None),
    ]
    present = {found.strip().decode() for found in OUR_LINE.findall(source)}
    return [(line, after) for line, after in wanted if line not in present]


def with_lines(source: bytes, missing: list[tuple[str, int | None]]) -> bytes:
    """The source with each line after its own, indented and ended as that one is."""
    if any(after is None for _, after in missing):
        raise ValueError(
            "train.py is not as in CoOp: it has no `import trainers...` or no call `extend_cfg(cfg)`. Nothing was "
            "written. Run this without --apply, and add the lines by hand: the first among the imports, the second "
            "where the configuration has been extended and no file was merged yet."
        )
    lines = source.splitlines(keepends=True)
    newline = b"\r\n" if b"\r\n" in source else b"\n"
    for line, after in missing:
        anchor = lines[after - 1]
        text = anchor.rstrip(b"\r\n")
        indent = text[: len(text) - len(text.lstrip())]
        lines[after - 1] = text + newline + indent + line.encode() + anchor[len(text) :]
    return b"".join(lines)


def print_lines(missing: list[tuple[str, int | None]]) -> None:
    for line, after in missing:
        place = f"after line {after}" if after else "among the imports" if line == IMPORT else "after cfg is extended"
        print(f"  {place}:  {line}")


def write(path: Path, content: bytes) -> None:
    path = path.resolve()  # a link stays one
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(path, temporary)


def remove_files(coop: Path, names: list[str]) -> None:
    """Delete files, what Python has compiled from them, and folders that this leaves empty."""
    for path in [coop / name for name in names]:
        path.unlink()
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        for folder in [path.parent / "__pycache__", path.parent, path.parent.parent]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="install_into_coop.sh", description="Put the KDPL trainers into a CoOp checkout, or take them out."
    )
    parser.add_argument("coop", type=Path, metavar="PATH_TO_COOP")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--apply", action="store_true", help="add the two lines to its train.py as well")
    what.add_argument("--remove", action="store_true", help="take out everything that was added")
    arguments = parser.parse_args()
    try:
        check_is_coop(arguments.coop)
        if arguments.remove:
            remove(arguments.coop)
        else:
            install(arguments.coop, arguments.apply)
    except (ValueError, OSError, SyntaxError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
