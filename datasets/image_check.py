"""Checking all images of a run before it starts, so that all unusable files are reported at once.

Good images are remembered by relative path, size and modification time, so that they are checked only once.
"""

import functools
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterable, Mapping
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

from kdpl.downloads import cache_dir
from kdpl.images.files import MOST_THREADS, image_fault
from kdpl.outside import fault_of_kind

from .kept_files import keep_json, may_write_in

INDEX_FILE = ".kdpl_images.json"  # {relative path: [bytes, nanoseconds]} of good images
MISSING = "missing"
NAMED = 10  # files listed in an error


def check_images(image_dir: Path, opened: Iterable[str], dataset_folder: Path, unopened: Iterable[str] = ()) -> None:
    """Decode all images that are not yet known to be good.

    Args:
        image_dir: folder that the paths are relative to.
        opened: paths with forward slashes; duplicates are ignored.
        dataset_folder: holds the index if it is writable; otherwise the index is in the user's cache.
        unopened: paths that only have to exist.

    Raises:
        FileNotFoundError: if files are missing and the others are good.
        ValueError: if files cannot be decoded.
    """
    opened, unopened = list(dict.fromkeys(opened)), set(unopened)
    faults = unusable_images(image_dir, opened, dataset_folder, sorted(unopened))
    if not faults:
        return
    error = FileNotFoundError if set(faults.values()) == {MISSING} else ValueError
    raise error(
        f"{len(faults):,} of {len(unopened.union(opened)):,} images below {image_dir} cannot be used:\n"
        + lines_of(faults)
        + "\nCopy or extract these files again, then start again; good images will not be checked a second time."
    )


def lines_of(faults: Mapping[str, str]) -> str:
    """The faults of the first ten files, one per line, and the number of further files."""
    shown = [f"  {path}: {fault}" for path, fault in list(faults.items())[:NAMED]]
    shown += [f"  and {len(faults) - NAMED:,} more"] * (len(faults) > NAMED)
    return "\n".join(shown).encode(errors="backslashreplace").decode()  # file names need not be valid text


def unusable_images(
    image_dir: Path, paths: list[str], dataset_folder: Path, unopened: Iterable[str] = ()
) -> dict[str, str]:
    """The faults of unusable images, by path; good images are added to the dataset's index.

    Args:
        paths: images to decode.
        unopened: other images, which only have to be regular files.
    """
    index_file = index_of(dataset_folder)
    index = {}
    for file in dict.fromkeys([dataset_folder / INDEX_FILE, index_file]):  # the first may be read-only
        index |= _read_index(file)
    place = functools.partial(os.path.join, image_dir)  # in large datasets, pathlib would take longer than the rest
    found = {path: _size_and_time(place(path)) for path in paths}
    faults = {path: fault_of_kind(place(path)) for path, stamp in found.items() if stamp is None}
    faults |= {path: "its name is not UTF-8: rename it" for path in paths if not _is_text(path)}
    unknown = [path for path, stamp in found.items() if path not in faults and index.get(path) != stamp]
    if unknown:
        with warnings.catch_warnings(), ThreadPool(min(MOST_THREADS, 2 * (os.cpu_count() or 1))) as pool:
            warnings.simplefilter("ignore")  # about metadata and large images: all that matters is whether it decodes
            results = pool.imap(lambda path: image_fault(image_dir / path), unknown)
            progress = tqdm(results, desc="Checking images", total=len(unknown), unit="image", delay=1, leave=False)
            faults |= {path: fault for path, fault in zip(unknown, progress, strict=True) if fault}
    good = {path: found[path] for path in unknown if path not in faults}
    if good:
        keep_json(index_file, _read_index(index_file) | good)  # read again, because another run may have added to it
    others = [path for path in unopened if path not in found]
    return {path: faults[path] for path in paths if path in faults} | {
        path: kind for path in others if (kind := fault_of_kind(place(path)))
    }


def index_of(dataset_folder: Path) -> Path:
    """The location of a dataset's index."""
    if may_write_in(dataset_folder):
        return dataset_folder / INDEX_FILE
    name = hashlib.sha256(os.fsencode(dataset_folder.absolute())).hexdigest()[:32]
    return cache_dir() / "images" / f"{name}.json"


def _is_text(path: str) -> bool:
    """Whether a file's name is valid UTF-8; undecodable bytes appear as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_and_time(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
        return None
    return [status.st_size, status.st_mtime_ns]


def _read_index(path: Path) -> dict[str, list[int]]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: it will be recreated
        return {}
    return index if isinstance(index, dict) else {}
