"""Fetching the missing files of a benchmark one by one or, if that fails, an archive that contains all of it."""

import errno
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datasets.few_shot import FewShotDataset
from datasets.imagenet import read_classnames
from kdpl import downloads
from kdpl.atomic_files import atomic_path
from kdpl.downloads import download
from kdpl.locks import one_at_a_time
from kdpl.outside import read_json

from .counting import examine
from .repairing import repair
from .sources import FILES, RemoteFile
from .unpacking import WORKPLACE, check_python, remove_leftovers, unpack_into

LOCK = ".fetching"  # locked by the process that fetches into a dataset's folder
WHOLE = f"{WORKPLACE}whole"  # where the archive of a whole dataset is unpacked, below the dataset's folder


def fetch_missing(dataset: FewShotDataset, mirror: str = "", keep_archives: bool = False) -> None:
    """Fetch the missing files of a dataset, and print what could not be fetched.

    Args:
        mirror: an address to try first, which serves files as <dataset's folder>/<file>.
        keep_archives: keep archives after unpacking them.
    """
    files = sorted(
        FILES[dataset.script_name()], key=lambda file: file.is_archive
    )  # lists first: they say which images are missing
    parts, wholes = ([file for file in files if file.whole == whole] for whole in (False, True))
    if all(_is_here(dataset, file) for file in parts):
        return
    waiting = f"  another process is fetching into {dataset.folder}: waiting for it"
    with one_at_a_time(dataset.folder / LOCK, waiting):
        remove_leftovers(dataset.folder)
        errors = [error for file in parts if (error := _fetch(dataset, file, mirror, keep_archives))]
        for file in wholes if errors and all(isinstance(error, ConnectionError) for error in errors) else ():
            print(
                f"  some files could not be fetched; trying {file.name}, which contains the whole dataset", flush=True
            )
            error = _fetch(dataset, file, mirror, keep_archives)
            errors = [*errors, error] if error else []
        for lock in dataset.folder.glob(".*.lock"):  # of single files; nobody else is fetching into this folder
            lock.unlink()
    for error in errors:
        print(error, file=sys.stderr)


def _is_here(dataset: FewShotDataset, file: RemoteFile) -> bool:
    """Whether a file, or everything that an archive provides, is in place."""
    if not file.is_archive:
        path = dataset.folder / file.name
        return path.is_file() and file.fault(path) is None
    findings = examine(dataset)
    if not findings.problems:
        return True
    places = [Path(os.path.realpath(dataset.folder / place)) for _, place in file.moves]
    missing = [Path(os.path.realpath(dataset.images / path)) for path in findings.missing]
    if findings.split:
        return not any(place in path.parents for place in places for path in missing) and not file.whole
    return dataset.folder not in places and all(place.is_dir() for place in places) and not file.whole


def _fetch(dataset: FewShotDataset, file: RemoteFile, mirror: str, keep_archives: bool) -> Exception | None:
    """Fetch one file unless it is here; returns the error if that failed."""
    if _is_here(dataset, file):
        return None
    if mirror:
        file = replace(file, urls=(f"{mirror.rstrip('/')}/{dataset.dataset_dir}/{file.name}", *file.urls))
    try:
        if file.is_archive:
            _get_archive(dataset, file, keep_archives)
        else:
            _get_list(file, dataset.folder / file.name)
    except (ConnectionError, ValueError) as error:
        return error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = f"  the disk of {dataset.folder} is full: {error.strerror}. Free some space, or use another --root."
        return OSError(file.manual_route(dataset.folder / file.name, [reason]))
    return None


def _get_list(file: RemoteFile, path: Path) -> None:
    """Download a split or a list; class names can also be taken from a few-shot draw."""
    try:
        download(file, path)
    except ConnectionError:
        if not file.draws:
            raise
        with tempfile.TemporaryDirectory() as folder:
            draw = Path(folder) / "draw.json"
            download(downloads.RemoteFile(f"{file.name} (from a few-shot draw)", file.draws), draw, by_hand=path)
            try:
                items = read_json(draw)["train"]["data"]
                lines = [f"{PurePosixPath(item['impath']).parent.name} {item['classname']}\n" for item in items]
            except (LookupError, TypeError) as error:
                raise ConnectionError(f"{file.name}: the downloaded file is not a few-shot draw ({error}).") from error
        with atomic_path(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
            read_classnames(temporary)


def _get_archive(dataset: FewShotDataset, file: RemoteFile, keep: bool) -> None:
    """Unpack an archive, downloading it unless that was done by hand."""
    check_python()
    by_hand, archive = dataset.folder / file.name, dataset.folder / f".{file.name}"
    if by_hand.is_file():
        if fault := file.fault(by_hand):
            raise ValueError(f"{by_hand} is not the right archive: {fault}. Delete or replace it.")
        print(f"  found {by_hand}")
        _unpack(dataset, file, by_hand)
        return
    if not file.urls:
        raise ConnectionError(file.manual_route(by_hand, []))
    if not archive.is_file() or file.fault(archive):  # it is here if unpacking was interrupted
        download(file, archive, by_hand)
    try:
        _unpack(dataset, file, archive)
    except ValueError:  # the archive is broken, unlike after a full disk
        archive.unlink()
        raise
    if keep:
        os.replace(archive, by_hand)
    else:
        archive.unlink()


def _unpack(dataset: FewShotDataset, file: RemoteFile, archive: Path) -> None:
    """Move the parts of an archive into place; those of a whole dataset are recognised by their content."""
    if not file.whole:
        unpack_into(archive, file, dataset.folder)
        return
    unpack_into(archive, replace(file, moves=((".", WHOLE),)), dataset.folder)
    try:
        for part in FILES[dataset.script_name()]:
            for path in (dataset.folder / WHOLE).rglob(part.name) if part.hash and not part.is_archive else ():
                if fault := part.fault(path):
                    print(f"  {archive.name} has a different {part.name}, which is not used: {fault}")
                    path.unlink()
        for action in repair(dataset, dataset.folder / WHOLE):
            print(f"  moved {action}")
    finally:
        shutil.rmtree(dataset.folder / WHOLE)
