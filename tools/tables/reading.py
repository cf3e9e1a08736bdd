"""All finished runs below some folders, from ``results.json`` files and Dassl's logs."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kdpl.run_record import FILE_NAME

from .dassl_logs import read_log
from .records import Run, read_run

WHAT_TO_RUN = (
    "Run `bash scripts/kdpl/base2new.sh shapes 1` first, or name another folder: python -m tools.tables FOLDER."
)


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read all finished runs below some folders, in the order of their paths.

    A log is ignored if there is a record beside it.

    Returns:
        The runs, and a sentence for each file that is not a finished run.

    Raises:
        FileNotFoundError: if a folder does not exist, or none of them holds a finished run.
    """
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder.absolute()} to look for records in. {WHAT_TO_RUN}")
    runs, problems = [], []
    for path in _records_and_logs(folders):
        try:
            runs.append(read_run(path) if path.name == FILE_NAME else read_log(path))
        except ValueError as error:
            problems.append(f"{path}: {error}")
    if not runs:
        where = ", ".join(str(folder.absolute()) for folder in folders)
        seen = "\n  ".join(["Files that are not finished runs:", *problems]) + "\n" if problems else ""
        raise FileNotFoundError(
            f"No finished run ({FILE_NAME}, or log.txt of Dassl) below {where}. {seen}{WHAT_TO_RUN}"
        )
    return runs, problems


def _records_and_logs(folders: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for folder in folders:
        for directory, subfolders, files in os.walk(folder):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            logs = sorted(name for name in files if name == "log.txt" or name.startswith("log.txt-"))
            for name in [FILE_NAME] if FILE_NAME in files else logs:
                path = Path(directory, name)
                if os.path.realpath(path) not in seen:
                    seen.add(os.path.realpath(path))
                    yield path
