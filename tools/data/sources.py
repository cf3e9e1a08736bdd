"""The files that make up each benchmark, as sources.yaml lists them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from kdpl import downloads


@dataclass(frozen=True)
class RemoteFile(downloads.RemoteFile):
    """A file, or an archive whose parts are moved to their places; sources.yaml explains the attributes.

    Downloaded by hand it is put into the dataset's folder under its name.
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
    """The files of each benchmark, by the name that it has in the scripts."""
    content = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))
    return {
        dataset: tuple(
            RemoteFile(
                name=name,
                **facts
                | {key: tuple(facts.get(key, ())) for key in ("urls", "draws")}
                | {"moves": tuple(facts.get("moves", {}).items())},
            )
            for name, facts in files.items()
        )
        for dataset, files in content.items()
    }


FILES = read_sources()
