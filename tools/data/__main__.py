"""Fetch, check and repair the benchmarks. Usage: python -m tools.data {list,get,check,fix,split} [NAME ...]"""

import argparse
import errno
import os
import random
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY
from tabulate import tabulate

import datasets  # noqa: F401  registers them
from datasets.few_shot import FewShotDataset
from datasets.splits import PARTS
from kdpl.atomic_files import write_json_atomically
from kdpl.downloads import download
from kdpl.guard import run_command
from kdpl.locks import one_at_a_time

from .counting import examine
from .repairing import repair
from .sources import FILES, RemoteFile
from .unpacking import remove_leftovers, unpack_into

LOCK = ".fetching"  # held by the process that fetches into a dataset's folder
CONFIGS = Path(__file__).parents[2] / "configs" / "datasets"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all that was asked for is complete, 1 when something is missing."""
    arguments = _parser().parse_args(arguments)
    known = {name: DATASET_REGISTRY.get(name).unopened(arguments.root) for name in FILES}
    chosen = [known[name] for name in _names(arguments.names)]
    if arguments.command == "list":
        return show(chosen or list(known.values()))
    if arguments.command == "check" and not chosen:
        chosen = [dataset for dataset in known.values() if dataset.folder.is_dir()]
        if not chosen:
            print(f"None of the benchmarks is in {Path(arguments.root).absolute()}.")
    complete = [COMMANDS[arguments.command](dataset, arguments) for dataset in chosen]
    return 0 if all(complete) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.data", description="Fetch, check and repair the benchmarks.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("list", "the benchmarks, their sizes, sources and terms, and which are here"),
        ("get", "fetch what is missing; several names, or all"),
        ("check", "count what is here; without names, all that is here"),
        ("fix", "move what was unpacked in another form to where it belongs"),
        ("split", "make a split from the dataset's own annotation; not the published one"),
    ):
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:])
        command.add_argument("names", nargs="*" if name in ("list", "check") else "+", metavar="NAME")
        command.add_argument(
            "--root", default=os.environ.get("DATA") or "data", help="data root (default: $DATA or data)"
        )
    mirror = "an address to try first, which serves the files as <dataset's folder>/<file>"
    commands.choices["get"].add_argument("--mirror", metavar="URL", help=mirror)
    commands.choices["get"].add_argument("--keep-archives", action="store_true", help="do not delete unpacked archives")
    commands.choices["check"].add_argument("--images", action="store_true", help="also open every image")
    commands.choices["fix"].add_argument("--dry-run", action="store_true", help="only say what would be moved")
    commands.choices["split"].add_argument("--seed", type=int, default=1, help="of the shuffling (default: 1)")
    return parser


def _names(asked: list[str]) -> list[str]:
    """Registered names for what was typed: these, names of configuration files or of folders, in any case; or all."""
    aliases = {name.lower(): name for name in FILES}
    aliases |= {DATASET_REGISTRY.get(name).dataset_dir.lower(): name for name in FILES}
    for path in CONFIGS.glob("*.yaml"):
        name = path.read_text(encoding="utf-8").split('"')[1]
        if name in FILES:
            aliases[path.stem] = name
    if [word.lower() for word in asked] == ["all"]:
        return list(FILES)
    for word in asked:
        if word.lower() not in aliases:
            raise ValueError(f"{word!r} is none of the benchmarks; they are {', '.join(FILES)}, or all.")
    return list(dict.fromkeys(aliases[word.lower()] for word in asked))


def show(chosen: list[FewShotDataset]) -> int:
    """Print a table of the benchmarks."""
    rows = [
        (
            type(dataset).__name__,
            f"{dataset.n_classes:,}",
            f"{sum(dataset.n_images):,}",
            f"{dataset.dataset_dir}/" + ("" if dataset.folder.is_dir() else " (absent)"),
            dataset.licence,
            dataset.source,
        )
        for dataset in chosen
    ]
    print(tabulate(rows, headers=("name", "classes", "images", "folder", "terms", "source"), disable_numparse=True))
    return 0


def get(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Fetch the files of a dataset that are missing; whether it is complete then."""
    name = type(dataset).__name__
    print(f"{name}: {dataset.source} (terms: {dataset.licence})")
    files = sorted(FILES[name], key=lambda file: bool(file.moves))  # lists first: they tell what else is missing
    if all(_is_here(dataset, file) for file in files):
        return fix(dataset, arguments)
    waiting = f"  another process fetches into {dataset.folder}: waiting until it is done"
    with one_at_a_time(dataset.folder / LOCK, waiting):
        remove_leftovers(dataset.folder)
        for file in files:
            if _is_here(dataset, file):
                continue
            if arguments.mirror:
                url = f"{arguments.mirror.rstrip('/')}/{dataset.dataset_dir}/{file.name}"
                file = replace(file, urls=(url, *file.urls))
            try:
                _get_file(dataset, file, arguments.keep_archives)
            except (ConnectionError, ValueError) as error:
                print(error, file=sys.stderr)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                reason = f"  the disk of {dataset.folder} is full: {error.strerror}. Make room, or name another --root."
                print(file.manual_route(dataset.folder / file.name, [reason]), file=sys.stderr)
        for lock in dataset.folder.glob(".*.lock"):  # of single files; nobody but us fetches into this folder
            lock.unlink()
        return fix(dataset, arguments)


def _is_here(dataset: FewShotDataset, file: RemoteFile) -> bool:
    """Whether a file, or all that an archive brings, is in place."""
    if not file.moves:
        path = dataset.folder / file.name
        return path.is_file() and file.fault(path) is None
    findings = examine(dataset)
    if not findings.problems:
        return True
    places = [(dataset.folder / place).resolve() for _, place in file.moves]
    missing = [(dataset.images / path).resolve() for path in findings.missing]
    if findings.split:
        return not any(place in path.parents for place in places for path in missing)
    return dataset.folder not in places and all(place.is_dir() for place in places)


def _get_file(dataset: FewShotDataset, file: RemoteFile, keep_archive: bool) -> None:
    by_hand = dataset.folder / file.name
    if by_hand.is_file():
        fault = file.fault(by_hand)
        if fault and file.moves:
            raise ValueError(f"{by_hand} is not the right archive: {fault}. Delete it, or put the right one there.")
        if fault is None:
            print(f"  found {by_hand}")
            unpack_into(by_hand, file, dataset.folder)
            return
    if not file.urls:
        raise ConnectionError(file.manual_route(by_hand, []))
    if not file.moves:
        download(file, by_hand)
        return
    archive = dataset.folder / f".{file.name}"
    if not archive.is_file() or file.fault(archive):  # it is there if the unpacking was interrupted
        download(file, archive, by_hand)
    try:
        unpack_into(archive, file, dataset.folder)
    except ValueError:  # it is broken; after a full disk it is still good
        archive.unlink()
        raise
    if keep_archive:
        os.replace(archive, by_hand)
    else:
        archive.unlink()


def check(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Print what was found of a dataset and the command that repairs it; whether it is complete."""
    findings = examine(dataset, decode=getattr(arguments, "images", False))
    print(f"{type(dataset).__name__}: {'INCOMPLETE' if findings.problems else 'complete'}, {dataset.folder}")
    if findings.counts:
        rows = [(part, *(f"{count:,}" for count in findings.counts[part])) for part in PARTS]
        print(tabulate(rows, headers=("", "published", "in the split", "found"), disable_numparse=True))
    for problem in findings.problems:
        print(f"  {problem}")
    if findings.problems:
        command = "fix" if _would_move(dataset) else "get"
        root = shlex.quote(str(dataset.root))
        print(f"  repair: python -m tools.data {command} {type(dataset).__name__} --root {root}")
    return not findings.problems


def _would_move(dataset: FewShotDataset) -> bool:
    try:
        return bool(repair(dataset, dataset.root, do=False))
    except (FileNotFoundError, ValueError):  # it needs another file first
        return False


def fix(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Move what is elsewhere to its place; whether the dataset is complete then."""
    dry_run, getting = getattr(arguments, "dry_run", False), arguments.command == "get"
    try:
        actions = repair(dataset, dataset.folder if getting else dataset.root, do=not dry_run)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        actions = []
    for action in actions:
        print(f"  {'would move' if dry_run else 'moved'} {action}")
    return dry_run or check(dataset, arguments)


def split(dataset: FewShotDataset, arguments: argparse.Namespace) -> bool:
    """Write a split made from the annotation, where there is none."""
    path = dataset.folder / (dataset.split_file or "split.json")
    if path.exists():
        raise ValueError(f"{path} exists. Move it away if you want another one in its place.")
    for name in dataset.raw_files:
        if not (dataset.folder / name).is_file():
            raise FileNotFoundError(
                f"{type(dataset).__name__}'s annotation is incomplete: {dataset.folder / name} does not exist. "
                f"It comes from {dataset.source}"
            )
    made = dataset.raw_split(dataset.folder, random.Random(arguments.seed))
    write_json_atomically(path, {part: getattr(made, part) for part in PARTS})
    print(f"{path} written: {', '.join(f'{len(getattr(made, part)):,} {part}' for part in PARTS)}")
    print("It is not the published split: results on it cannot be compared with published ones.")
    return True


COMMANDS = {"get": get, "check": check, "fix": fix, "split": split}

if __name__ == "__main__":
    run_command(main, "The same command goes on from here.")
