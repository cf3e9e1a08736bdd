"""Every image of a run is opened once before the run starts: files that cannot be used are all named at once.

What was found good is remembered by relative path, size and time of change, so the check costs once.
"""

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

INDEX_FILE = ".kdpl_images.json"  # {relative path: [bytes, nanoseconds]} of images that were found good
MISSING = "missing"
NAMED = 10  # files that an error names


def check_images(image_dir: Path, opened: Iterable[str], dataset_folder: Path, unopened: Iterable[str] = ()) -> None:
    """Decode each image that is not known to be good.

    Args:
        image_dir: folder that all paths are below.
        opened: relative paths with forward slashes; repeated ones count once.
        dataset_folder: where the index is kept if it may be written there, else it is in the user's cache.
        unopened: paths that only have to exist.

    Raises:
        FileNotFoundError: if files are missing, and the rest is good.
        ValueError: if files cannot be decoded.
    """
    opened = list(dict.fromkeys(opened))
    unopened = sorted(set(unopened).difference(opened))
    faults = unusable_images(image_dir, opened, dataset_folder)
    faults |= {path: kind for path in unopened if (kind := fault_of_kind(image_dir / path))}
    if not faults:
        return
    error = FileNotFoundError if set(faults.values()) == {MISSING} else ValueError
    raise error(
        f"{len(faults):,} of {len(opened) + len(unopened):,} images below {image_dir} cannot be used:\n"
        + lines_of(faults)
        + "\nCopy or extract these files again, then start again; what was found good is not read a second time."
    )


def lines_of(faults: Mapping[str, str]) -> str:
    """What is wrong with files, one a line; from the eleventh on their number."""
    shown = [f"  {path}: {fault}" for path, fault in list(faults.items())[:NAMED]]
    shown += [f"  and {len(faults) - NAMED:,} more"] * (len(faults) > NAMED)
    return "\n".join(shown).encode(errors="backslashreplace").decode()  # a name may be no text


def unusable_images(image_dir: Path, paths: list[str], dataset_folder: Path) -> dict[str, str]:
    """What is wrong with each image that cannot be used; good ones are added to the index of the dataset."""
    index_file = index_of(dataset_folder)
    index = _read_index(dataset_folder / INDEX_FILE) | _read_index(index_file)  # the first may not be ours to write
    found = {path: _size_and_time(image_dir / path) for path in paths}
    faults = {path: fault_of_kind(image_dir / path) for path, stamp in found.items() if stamp is None}
    faults |= {path: "its name is not UTF-8: rename it" for path in paths if not _is_text(path)}
    unknown = [path for path, stamp in found.items() if path not in faults and index.get(path) != stamp]
    with warnings.catch_warnings(), ThreadPool(min(MOST_THREADS, 2 * (os.cpu_count() or 1))) as pool:
        warnings.simplefilter("ignore")  # of odd metadata and of many pixels: here only whether it decodes matters
        results = pool.imap(lambda path: image_fault(image_dir / path), unknown)
        progress = tqdm(results, desc="Checking images", total=len(unknown), unit="image", delay=1, leave=False)
        faults |= {path: fault for path, fault in zip(unknown, progress, strict=True) if fault}
    good = {path: found[path] for path in unknown if path not in faults}
    if good:
        keep_json(index_file, _read_index(index_file) | good)  # read again: another run may have added to it
    return {path: faults[path] for path in paths if path in faults}


def index_of(dataset_folder: Path) -> Path:
    """Where the index of a dataset is kept."""
    if may_write_in(dataset_folder):
        return dataset_folder / INDEX_FILE
    name = hashlib.sha256(os.fsencode(dataset_folder.absolute())).hexdigest()[:32]
    return cache_dir() / "images" / f"{name}.json"


def _is_text(path: str) -> bool:
    """Whether a file's name could be decoded; bytes that could not are lone surrogates in it."""
    return not any("\udc80" <= letter <= "\udcff" for letter in path)


def _size_and_time(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        return None
    return [status.st_size, status.st_mtime_ns]


def _read_index(path: Path) -> dict[str, list[int]]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or broken: it is made again
        return {}
    return index if isinstance(index, dict) else {}
