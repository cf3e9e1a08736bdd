"""Collecting what runs need in a folder that can be copied to a machine without a network."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from .atomic_files import atomic_path
from .clip.hub import source_of
from .clip.loading import check_clip_name, fetch_clip
from .clip.openai import openai_cache
from .distillation.teacher import clip_of_teacher
from .distillation.vocabulary import open_images_file

VOCABULARY = "vocabulary"  # the class list of Open Images, of class-agnostic training
LARGEST_SMALL_FILE = 64 * 2**20  # bytes: beside weights, a folder of the hub's cache has small files
ENVIRONMENT = """# Makes KDPL use what lies beside this file, and nothing else. Usage: source env.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)
export KDPL_OFFLINE=1 HF_HUB_OFFLINE=1 KDPL_CLIP_CACHE="$here/clip" HF_HOME="$here/huggingface" XDG_CACHE_HOME="$here"
"""


def fetch(names: Sequence[str], folder: Path | None = None) -> list[Path]:
    """Bring what these names stand for onto this machine and, into ``folder``, copies of all of it.

    Args:
        names: CLIPs as :func:`load_clip` takes them, "prompts:FILE" for the CLIP of learned prompts, or "vocabulary".
        folder: also gets an ``env.sh`` that makes KDPL use it.

    Returns:
        The files, in the folder if there is one.

    Raises:
        ValueError: if a name is unknown; nothing is fetched then.
        ConnectionError: if something could not be fetched.
    """
    clips = [clip_of_teacher(name) for name in names if name != VOCABULARY]
    for name in clips:
        check_clip_name(name)
    found = {path: target for name in clips for path, target in _files(name)}
    if VOCABULARY in names:
        file = open_images_file()
        found[file] = Path("kdpl", file.name)
    if folder is None:
        return list(found)
    for path, target in found.items():
        with atomic_path(folder / target) as temporary:
            shutil.copyfile(path, temporary)  # links of the hub's cache become files
    with atomic_path(folder / "env.sh") as temporary:
        temporary.write_text(ENVIRONMENT, encoding="utf-8")
    return [folder / target for target in found.values()]


def _files(name: str) -> Iterator[tuple[Path, Path]]:
    """The files of a CLIP, and where they belong in a folder of copies; none where it is a local file."""
    for found in fetch_clip(name):
        if found.parent == openai_cache():
            yield found, Path("clip", found.name)
        for file in sorted(found.iterdir()) if found.is_dir() else [found]:
            if source_of(file) and (file == found or file.stat().st_size <= LARGEST_SMALL_FILE):
                revision, repository = file.parent, file.parent.parent.parent
                place = Path("huggingface", "hub", repository.name)
                yield file, place / "snapshots" / revision.name / file.name
                for ref in (repository / "refs").rglob("*"):
                    if ref.is_file():
                        yield ref, place / ref.relative_to(repository)
