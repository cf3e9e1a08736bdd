"""Unpacking archives beside their destination and moving whole parts into place; nothing escapes or stays half."""

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

BROKEN = (  # RuntimeError: a zip with a password, or of a kind that Python does not know; KeyError: a link to nothing
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    LookupError, TypeError, AttributeError, ArithmeticError, struct.error,
)  # fmt: skip
IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EILSEQ)
WORKPLACE = ".unpacking."
MOST_GROWTH, MOST_FILES = 20, 3_000_000  # times the archive's size; ImageNet has 1.3 million images
SLACK = 2**28  # bytes, for small archives of texts


def unpack_into(archive: Path, file: RemoteFile, dataset_folder: Path) -> None:
    """Unpack ``archive`` and move its parts to their places; files that are there already are replaced.

    Raises:
        ValueError: if the archive is broken, reaches outside its folder, or does not hold what it should.
        OSError: if the disk is full.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("This Python unpacks archives without checking their paths; take 3.10.12, 3.11.4 or newer.")
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
                raise ValueError(f"{archive.name} holds no folder {source}, but {found}: it is another archive.")
        for source, place in file.moves:
            move_into(folder / source, dataset_folder / place)


@contextmanager
def _workplace(dataset_folder: Path) -> Iterator[Path]:
    """A folder on the same disk that goes when the work is done or given up."""
    folder = Path(tempfile.mkdtemp(dir=dataset_folder, prefix=WORKPLACE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(dataset_folder: Path) -> None:
    """Delete what processes that were killed had half unpacked; nobody else may be at work in the folder."""
    for folder in dataset_folder.glob(f"{WORKPLACE}*"):
        shutil.rmtree(folder)


class _Budget:
    """What may still come out of an archive and of those in it."""

    def __init__(self, archive: Path):
        self.bytes, self.files = MOST_GROWTH * archive.stat().st_size + SLACK, MOST_FILES

    def take(self, n_bytes: int, archive: str) -> None:
        """Count one file.

        Raises:
            ValueError: if that is more than an archive of this size can be meant to hold.
        """
        self.bytes, self.files = self.bytes - n_bytes, self.files - 1
        if min(self.bytes, self.files) < 0:
            raise ValueError(
                f"{archive} is refused: it grows beyond {MOST_GROWTH} times its size, or {MOST_FILES:,} files."
            )


def _refuse_links(archive: Path, folder: Path) -> None:
    """A link that stays inside while it is unpacked may lead elsewhere from its place in the dataset."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(parent, name)):
                raise ValueError(f"{archive.name} is refused: it holds the link {name}, and data are files.")


def move_into(source: Path, place: Path) -> None:
    """Rename ``source`` to ``place``; where that is a folder already, its content is merged into it.

    Raises:
        ValueError: if a link stands where files would be merged, which may lead anywhere.
    """
    if not os.path.lexists(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, place)
        if place.is_dir():
            place.chmod(0o755)  # temporary folders are private
    elif source.is_dir() and place.is_dir():
        for child in source.iterdir():
            if child.is_dir() and (place / child.name).is_symlink():
                raise ValueError(f"{place / child.name} is a link, and files would be written through it. Remove it.")
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
        raise ValueError(f"{archive.name} is refused, it reaches outside its folder: {error}.") from error
    except BROKEN as error:
        raise ValueError(f"{archive.name} is broken or cut off ({error}). Fetch it again.") from error
    except OSError as error:
        if error.errno in IMPOSSIBLE:
            raise ValueError(
                f"{archive.name} holds names that cannot be files here ({error}). Fetch it again."
            ) from error
        raise


def _unpack_zip(content: zipfile.ZipFile, folder: Path, budget: _Budget) -> None:
    members = content.infolist()
    check_space(folder, sum(member.file_size for member in members), Path(content.filename).name)
    for member in tqdm(members, desc=f"Unpacking {Path(content.filename).name}", unit="file"):
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{content.filename} is refused, it reaches outside its folder: {member.filename}.")
        budget.take(member.file_size, Path(content.filename).name)
        content.extract(member, folder)


def _unpack_tar(content: tarfile.TarFile, folder: Path, budget: _Budget) -> None:
    for member in tqdm(content, desc=f"Unpacking {Path(content.name).name}", unit="file"):
        budget.take(member.size, Path(content.name).name)
        check_space(folder, member.size, Path(content.name).name)
        content.extract(member, folder, filter="data")
