"""What a distillation needs on this machine: two or more CLIPs and perhaps a vocabulary."""

from collections.abc import Sequence

from ..clip.loading import fetch_clip
from ..offline import all_present, is_offline
from .teacher import STUDENT_SCALE, check_teacher, clips_of_teacher
from .vocabulary import load_vocabulary


def check_needs(
    teacher: str, scale: str = STUDENT_SCALE, student: str = "", class_agnostic: bool = False, vocabulary: str = ""
) -> None:
    """Refuse a teacher that does not exist and, offline, all files that are missing, at once.

    Args:
        student: its name has been checked.
        vocabulary: as :func:`load_vocabulary` takes it, where training is class-agnostic.

    Raises:
        ValueError, FileNotFoundError: as :func:`check_teacher`.
        Missing: offline, if the distillation could not begin.
    """
    check_teacher(teacher, scale)
    if is_offline():
        names = [name for name in (student, *clips_of_teacher(teacher)) if name]
        look_for(names, [vocabulary] * class_agnostic)


def look_for(clips: Sequence[str], vocabularies: Sequence[str]) -> list[object]:
    """The files of these CLIPs, see :func:`fetch_clip`, and these vocabularies; fetched where that is allowed.

    Raises:
        Missing: offline, naming all that is not there.
    """
    looks = [lambda name=name: fetch_clip(name) for name in clips]
    return all_present([*looks, *(lambda name=name: load_vocabulary(name) for name in vocabularies)])
