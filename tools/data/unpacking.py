"""Unpacking archives next to their destination, then moving complete parts into place; no file escapes the folder."""

import errno
import gzip
import lzma
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from kdpl.downloads import check_space
from kdpl.outside import check_file

from .sources import RemoteFile

BROKEN = (  # RuntimeError: a zip with a password or an unsupported compression; KeyError: a dangling link
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    LookupError, TypeError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EILSEQ)
WORKPLACE = ".unpacking."
MOST_GROWTH, MOST_FILES = 20, 3_000_000  # relative to the archive's size; ImageNet has 1.3 million images
SLACK = 2**28  # bytes, for small archives of text


def check_python() -> None:
    """Refuse Pythons whose tarfile does not check the paths in archives, before an archive is downloaded."""
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("This Python unpacks archives without checking their paths; use 3.10.12, 3.11.4 or newer.")


def unpack_into(archive: Path, file: RemoteFile, dataset_folder: Path) -> None:
    """Unpack ``archive`` and move its parts into place, replacing existing files.

    Raises:
        ValueError: if the archive is broken, reaches outside its folder, or has the wrong content.
        OSError: if the disk is full.
    """
    check_python()
    dataset_folder.mkdir(parents=True, exist_ok=True)
    with _workplace(dataset_folder) as folder:
        budget = _Budget(archive)
        _unpack(archive, folder, budget)
        for inner in sorted(folder.glob(file.inner)) if file.inner else []:
            _unpack(inner, inner.with_suffix("") if "*" in file.inner else inner.parent, budget)
            inner.unlink()
        _refuse_links(archive, folder)
        for source, _ in file.moves:
            if not (folder / source).is_dir():
                found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8])
                raise ValueError(f"{archive.name} has no folder {source}, but {found}: it is a different archive.")
        for source, place in file.moves:
            move_into(folder / source, dataset_folder / place)


@contextmanager
def _workplace(dataset_folder: Path) -> Iterator[Path]:
    """A temporary folder on the same disk."""
    folder = Path(tempfile.mkdtemp(dir=dataset_folder, prefix=WORKPLACE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(dataset_folder: Path) -> None:
    """Delete what killed processes left half unpacked; no other process may be working in the folder."""
    for folder in dataset_folder.glob(f"{WORKPLACE}*"):
        shutil.rmtree(folder)


class _Budget:
    """How much may still be unpacked from an archive and the archives inside it."""

    def __init__(self, archive: Path):
        self.bytes, self.files = MOST_GROWTH * archive.stat().st_size + SLACK, MOST_FILES

    def take(self, n_bytes: int, archive: str) -> None:
        """Count one file, and refuse more than an archive of this size could plausibly contain."""
        self.bytes, self.files = self.bytes - n_bytes, self.files - 1
        if min(self.bytes, self.files) < 0:
            raise ValueError(
                f"{archive} is refused: it unpacks to over {MOST_GROWTH} times its size, or over {MOST_FILES:,} files."
            )


def _refuse_links(archive: Path, folder: Path) -> None:
    """A link that points inside the archive may lead elsewhere from its place in the dataset."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(parent, name)):
                raise ValueError(f"{archive.name} is refused: it contains a link, {name}; datasets have only files.")


def move_into(source: Path, place: Path) -> None:
    """Rename ``source`` to ``place``, or merge its content into ``place`` if that is a folder already."""
    if not os.path.lexists(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, place)
        if place.is_dir():
            place.chmod(0o755)  # temporary folders are private
    elif source.is_dir() and place.is_dir():
        for child in source.iterdir():
            if child.is_dir() and (place / child.name).is_symlink():
                raise ValueError(f"{place / child.name} is a link, through which files would be written. Remove it.")
            move_into(child, place / child.name)
        source.rmdir()
    else:
        os.replace(source, place)


def _unpack(archive: Path, folder: Path, budget: _Budget) -> None:
    folder.mkdir(exist_ok=True)
    try:
        check_file(archive, "archive")
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                _unpack_zip(content, folder, budget)
        else:
            with tarfile.open(archive) as content:
                _unpack_tar(content, folder, budget)
    except tarfile.FilterError as error:
        raise ValueError(f"{archive.name} is refused: it reaches outside its folder: {error}.") from error
    except BROKEN as error:
        raise ValueError(f"{archive.name} is broken or cut off ({error}). Fetch it again.") from error
    except OSError as error:
        if error.errno in IMPOSSIBLE:
            raise ValueError(
                f"{archive.name} has names that are not valid file names here ({error}). Fetch it again."
            ) from error
        raise


def _unpack_zip(content: zipfile.ZipFile, folder: Path, budget: _Budget) -> None:
    members = content.infolist()
    check_space(folder, sum(member.file_size for member in members), Path(content.filename).name)
    for member in tqdm(members, desc=f"Unpacking {Path(content.filename).name}", unit="file"):
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{content.filename} is refused: it reaches outside its folder: {member.filename}.")
        budget.take(member.file_size, Path(content.filename).name)
        content.extract(member, folder)


def _unpack_tar(content: tarfile.TarFile, folder: Path, budget: _Budget) -> None:
    for member in tqdm(content, desc=f"Unpacking {Path(content.name).name}", unit="file"):
        budget.take(member.size, Path(content.name).name)
        check_space(folder, member.size, Path(content.name).name)
        content.extract(member, folder, filter="data")
