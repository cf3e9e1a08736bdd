"""The files a distillation needs: two or more CLIPs and possibly a vocabulary."""

from collections.abc import Sequence

from ..clip.loading import fetch_clip
from ..offline import all_present, is_offline
from .teacher import STUDENT_SCALE, check_teacher, clips_of_teacher
from .vocabulary import load_vocabulary


def check_needs(
    teacher: str, scale: str = STUDENT_SCALE, student: str = "", class_agnostic: bool = False, vocabulary: str = ""
) -> None:
    """Refuse an unknown teacher and, when offline, report all missing files at once.

    Args:
        student: a name that has already been checked.
        vocabulary: as :func:`load_vocabulary` takes it; used in class-agnostic training.

    Raises:
        ValueError, FileNotFoundError: as :func:`check_teacher`.
        Missing: when offline, if files are missing.
    """
    check_teacher(teacher, scale)
    if is_offline():
        names = [name for name in (student, *clips_of_teacher(teacher)) if name]
        look_for(names, [vocabulary] * class_agnostic)


def look_for(clips: Sequence[str], vocabularies: Sequence[str]) -> list[object]:
    """The files of these CLIPs, see :func:`fetch_clip`, and vocabularies, downloaded if necessary.

    Raises:
        Missing: when offline, naming all missing files.
    """
    lookups = [lambda name=name: fetch_clip(name) for name in clips]
    return all_present([*lookups, *(lambda name=name: load_vocabulary(name) for name in vocabularies)])
