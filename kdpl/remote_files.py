"""Files that can be fetched, and what tells whether the right one came."""

from dataclasses import dataclass
from pathlib import Path

from .fingerprints import hash_of


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched.

    Attributes:
        name: of the file.
        urls: mirrors of the same bytes, the best first.
        hash: "md5:..." or "sha256:...", where it is known.
        size: in bytes where it is known, else 0.
        by_hand: what to know if no address works.
    """

    name: str
    urls: tuple[str, ...] = ()
    hash: str = ""
    size: int = 0
    by_hand: str = ""
    space = 1  # how many times its size it will take on the disk

    def fault(self, path: Path) -> str | None:
        """Why ``path`` is not this file, or None."""
        with open(path, "rb") as content:
            head = content.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
            return "a web page came in place of the file"
        size = path.stat().st_size
        if self.size and size != self.size:
            return f"{size:,} bytes arrived; the file has {self.size:,}"
        if self.hash:
            kind, expected = self.hash.split(":")
            found = hash_of(path, kind)
            if found != expected:
                return f"what arrived has the {kind.upper()} hash {found}, not {expected}"
        return "an empty file came" if not size else None

    def manual_route(self, path: Path, reasons: list[str]) -> str:
        """What went wrong with each mirror, and how to get the file to ``path`` by hand."""
        what = "could not be fetched:" if reasons else "has to be fetched by hand."
        lines = [f"{self.name} {what}", *reasons, *[self.by_hand] * bool(self.by_hand)]
        if self.urls:
            advice = "Check the connection, or do it by hand" if reasons else "By hand"
            lines += [f"{advice}: open one of these in a browser,", *(f"  {url}" for url in self.urls)]
        return "\n".join([*lines, f"put the file at\n  {path}\nand run the same command again."])
