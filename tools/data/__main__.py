"""Fetch, check and repair the benchmarks. Usage: python -m tools.data {list,get,check,fix,split} [NAME ...]"""

import argparse
import os
import random
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from tabulate import tabulate

import datasets  # noqa: F401  registers them
from datasets.few_shot import FewShotDataset
from datasets.splits import PARTS
from kdpl.atomic_files import write_json_atomically
from kdpl.guard import run_command
from kdpl.names import did_you_mean

from .counting import examine
from .fetching import fetch_missing
from .repairing import repair
from .sources import FILES, RemoteFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 1 if something is missing."""
    arguments = _parser().parse_args(arguments)
    if not arguments.root.strip():
        raise ValueError("--root is empty; name the data root, such as data.")
    known = {name: dataset.unopened(arguments.root) for name, dataset in benchmarks().items()}
    chosen = [known[name] for name in _names(arguments.names)]
    if arguments.command == "list":
        return show(chosen or list(known.values()))
    if arguments.command == "check" and not chosen:
        chosen = [dataset for dataset in known.values() if dataset.folder.is_dir()]
        if not Path(arguments.root).is_dir():
            raise FileNotFoundError(f"There is no folder {arguments.root}. Name the data root with --root.")
        if not chosen:
            print(f"{Path(arguments.root).absolute()} has none of the benchmarks.")
    complete = [COMMANDS[arguments.command](dataset, arguments) for dataset in chosen]
    return 0 if all(complete) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.data", description="Fetch, check and repair the benchmarks.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("list", "show the benchmarks with their sizes, sources and terms, and which of them are here"),
        ("get", "fetch whatever is missing; takes several names, or all"),
        ("check", "count the images that are here; without names, of every benchmark that is here"),
        ("fix", "move benchmarks that were unpacked in another layout to their proper places"),
        ("split", "make a split from the dataset's own annotations; not the published one"),
    ):
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:])
        command.add_argument("names", nargs="*" if name in ("list", "check") else "+", metavar="NAME")
        command.add_argument(
            "--root", default=os.environ.get("DATA") or "data", help="data root (default: $DATA or data)"
        )
    mirror = "an address to try first, which serves files as <dataset's folder>/<file>"
    commands.choices["get"].add_argument("--mirror", metavar="URL", help=mirror)
    commands.choices["get"].add_argument("--keep-archives", action="store_true", help="keep archives after unpacking")
    commands.choices["check"].add_argument("--images", action="store_true", help="also open every image")
    commands.choices["fix"].add_argument("--dry-run", action="store_true", help="only say what would be moved")
    commands.choices["split"].add_argument("--seed", type=int, default=1, help="for shuffling (default: 1)")
    return parser


def benchmarks() -> dict[str, type[FewShotDataset]]:
    """The datasets that can be fetched, by the names that the scripts use."""
    registered = [DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()]
    by_name = {dataset.script_name(): dataset for dataset in registered if getattr(dataset, "source", "")}
    return {name: by_name[name] for name in FILES}


def _names(typed: list[str]) -> list[str]:
    """The scripts' names of the datasets typed: by these, by registered names or folders, in any case, or "all"."""
    aliases = {}
    for name, dataset in benchmarks().items():
        aliases |= dict.fromkeys((dataset.dataset_dir.lower(), dataset.__name__.lower(), name), name)
    if [word.lower() for word in typed] == ["all"]:
        return list(FILES)
    for word in typed:
        if word.lower() not in aliases:
            close = did_you_mean(word.lower(), FILES)
            raise ValueError(f"There is no benchmark {word!r}{close}; choose from {', '.join(FILES)}, or all.")
    return list(dict.fromkeys(aliases[word.lower()] for word in typed))


def show(chosen: list[FewShotDataset]) -> int:
    """Print a table of the benchmarks."""
    rows = [
        (
            dataset.script_name(),
            f"{dataset.n_classes:,}",
            f"{sum(dataset.n_images):,}",
            bytes_of(FILES[dataset.script_name()]),
            f"{dataset.dataset_dir}/" + ("" if dataset.folder.is_dir() else " (absent)"),
            dataset.licence,
            dataset.source,
        )
        for dataset in chosen
    ]
    headers = ("name", "classes", "images", "bytes to fetch", "folder", "terms", "source")
    align = ("left", "right", "right", "right")
    print(tabulate(rows, headers=headers, colalign=align, disable_numparse=True))
    return 0


def bytes_of(files: Sequence[RemoteFile]) -> str:
    """The total size of a dataset's archives or, if that is not known, of the archive that contains all of it."""
    parts = [file.size for file in files if file.moves]
    sizes = parts if any(parts) else [file.size for file in files if file.whole]
    return f"{sum(sizes):,}{' or more' * (0 in sizes)}" if any(sizes) else "unknown"


def get(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Fetch the missing files of a dataset; returns whether it is then complete."""
    print(f"{dataset.script_name()}: {dataset.source} (terms: {dataset.licence})")
    fetch_missing(dataset, arguments.mirror, arguments.keep_archives)
    _move(dataset, dataset.folder)
    return check(dataset, arguments)


def check(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Print the state of a dataset and the command that repairs it; returns whether it is complete."""
    findings = examine(dataset, decode=getattr(arguments, "images", False))
    print(f"{dataset.script_name()}: {'INCOMPLETE' if findings.problems else 'complete'}, {dataset.folder}")
    if findings.counts:
        rows = [(part, *(f"{count:,}" for count in findings.counts[part])) for part in PARTS]
        print(tabulate(rows, headers=("", "published", "in the split", "found"), disable_numparse=True))
    for problem in findings.problems:
        print(f"  {problem}")
    if findings.problems:
        command = "fix" if _would_move(dataset) else "get"
        root = shlex.quote(str(dataset.root))
        print(f"  repair: python -m tools.data {command} {dataset.script_name()} --root {root}")
    return not findings.problems


def _would_move(dataset: FewShotDataset) -> bool:
    try:
        return bool(repair(dataset, dataset.root, do=False))
    except (FileNotFoundError, ValueError):  # it needs another file first
        return False


def fix(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Move misplaced parts into place; returns whether the dataset is then complete."""
    actions = _move(dataset, dataset.root, arguments.dry_run)
    if not arguments.dry_run:
        return check(dataset, arguments)
    if not dataset.root.is_dir():
        print(f"There is no folder {dataset.root}. Name the data root with --root.", file=sys.stderr)
    elif not actions:
        print(f"{type(dataset).__name__}: nothing to move below {dataset.root}")
    return dataset.root.is_dir()


def _move(dataset: FewShotDataset, search: Path, dry_run: bool = False) -> list[str]:
    try:
        actions = repair(dataset, search, do=not dry_run)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return []
    for action in actions:
        print(f"  {'would move' if dry_run else 'moved'} {action}")
    return actions


def split(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Write a split made from the annotations, unless there is a split already."""
    path = dataset.folder / (dataset.split_file or "split.json")
    if path.exists():
        raise ValueError(f"{path} exists. Move it away if you want to replace it.")
    for name in dataset.raw_files:
        if not (dataset.folder / name).is_file():
            raise FileNotFoundError(
                f"The annotations of {dataset.script_name()} are incomplete: {dataset.folder / name} does not exist. "
                f"It comes from {dataset.source}"
            )
    made = dataset.raw_split(dataset.folder, random.Random(arguments.seed))
    write_json_atomically(path, {part: getattr(made, part) for part in PARTS})
    print(f"Wrote {path}: {', '.join(f'{len(getattr(made, part)):,} {part}' for part in PARTS)}")
    print("This is not the published split: results on it cannot be compared with published ones.")
    return True


COMMANDS = {"get": get, "check": check, "fix": fix, "split": split}

if __name__ == "__main__":
    run_command(main, "The same command continues from here.")
