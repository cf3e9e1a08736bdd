"""Unpacking archives beside their destination and moving whole parts into place; nothing escapes or stays half."""

import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from kdpl.downloads import check_space

from .sources import RemoteFile

BROKEN = (  # RuntimeError: a zip with a password, or of a kind that Python does not know; KeyError: a link to nothing
    tarfile.ReadError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    KeyError,
)  # fmt: skip
WORKPLACE = ".unpacking."


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
        _unpack(archive, folder)
        for inner in sorted(folder.glob(file.inner)) if file.inner else []:
            _unpack(inner, inner.with_suffix("") if "*" in file.inner else inner.parent)
            inner.unlink()
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


def move_into(source: Path, place: Path) -> None:
    """Rename ``source`` to ``place``; where that is a folder already, its content is merged into it."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, place)
        if place.is_dir():
            place.chmod(0o755)  # temporary folders are private
    elif source.is_dir() and place.is_dir():
        for child in source.iterdir():
            move_into(child, place / child.name)
        source.rmdir()
    else:
        os.replace(source, place)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                _unpack_zip(content, folder)
        else:
            with tarfile.open(archive) as content:
                _unpack_tar(content, folder)
    except BROKEN as error:
        raise ValueError(f"{archive.name} is broken or cut off ({error}). Fetch it again.") from error
    except tarfile.FilterError as error:
        raise ValueError(f"{archive.name} is refused, it reaches outside its folder: {error}.") from error


def _unpack_zip(content: zipfile.ZipFile, folder: Path) -> None:
    members = content.infolist()
    check_space(folder, sum(member.file_size for member in members), Path(content.filename).name)
    for member in tqdm(members, desc=f"Unpacking {Path(content.filename).name}", unit="file"):
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{content.filename} is refused, it reaches outside its folder: {member.filename}.")
        content.extract(member, folder)


def _unpack_tar(content: tarfile.TarFile, folder: Path) -> None:
    for member in tqdm(content, desc=f"Unpacking {Path(content.name).name}", unit="file"):
        check_space(folder, member.size, Path(content.name).name)
        content.extract(member, folder, filter="data")
