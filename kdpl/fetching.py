"""Collect everything that runs need in a folder that can be copied to a machine without network access."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from .atomic_files import atomic_path
from .clip.hub import source_of
from .clip.loading import check_clip_name, fetch_clip
from .clip.openai import openai_cache
from .distillation.teacher import clip_of_teacher
from .distillation.vocabulary import open_images_file

VOCABULARY = "vocabulary"  # the class list of Open Images, used by class-agnostic training
LARGEST_SMALL_FILE = 64 * 2**20  # bytes: tokenizers and configurations; larger files of a snapshot are other weights
ENVIRONMENT = """# Makes KDPL use only the files beside this one. Usage: source env.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)
export KDPL_OFFLINE=1 HF_HUB_OFFLINE=1 KDPL_CLIP_CACHE="$here/clip" HF_HOME="$here/huggingface" XDG_CACHE_HOME="$here"
"""


def fetch(names: Sequence[str], folder: Path | None = None) -> list[Path]:
    """Download everything that these names refer to and, if ``folder`` is given, copy it there.

    Args:
        names: CLIPs as :func:`load_clip` takes them, "prompts:FILE" for the student of learned prompts, or
            "vocabulary".
        folder: also receives an ``env.sh`` that makes KDPL use it.

    Returns:
        The files, in ``folder`` if it is given.

    Raises:
        ValueError: if a name is unknown; nothing is downloaded in that case.
        ConnectionError: if a download fails.
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
            shutil.copyfile(path, temporary)  # turns the symbolic links of the Hub's cache into files
    with atomic_path(folder / "env.sh") as temporary:
        temporary.write_text(ENVIRONMENT, encoding="utf-8")
    return [folder / target for target in found.values()]


def _files(name: str) -> Iterator[tuple[Path, Path]]:
    """The files of a CLIP with their relative paths in the copied folder; nothing for a local file."""
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
