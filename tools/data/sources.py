"""The files that make up each benchmark, as listed in sources.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdpl import downloads


@dataclass(frozen=True)
class RemoteFile(downloads.RemoteFile):
    """A file, or an archive whose parts are moved into place; the attributes are explained in sources.yaml.

    If you download it by hand, put it into the dataset's folder under its name.
    """

    moves: tuple[tuple[str, str], ...] = ()
    inner: str = ""
    whole: bool = False
    draws: tuple[str, ...] = ()

    @property
    def is_archive(self) -> bool:
        return self.whole or bool(self.moves)

    @property
    def space(self) -> int:
        return 2 if self.is_archive else 1  # an archive and its content


def read_sources() -> dict[str, tuple[RemoteFile, ...]]:
    """The files of each benchmark, by the name that the scripts use for it."""
    content = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))
    return {
        dataset: tuple(_remote_file(name, facts) for name, facts in files.items()) for dataset, files in content.items()
    }


def _remote_file(name: str, facts: dict[str, Any]) -> RemoteFile:
    lists = {key: tuple(facts.get(key, ())) for key in ("urls", "draws")}
    return RemoteFile(**facts | lists | {"name": name, "moves": tuple(facts.get("moves", {}).items())})


FILES = read_sources()
