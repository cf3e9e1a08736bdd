"""Files that can be downloaded, and checks that the right one arrived."""

from dataclasses import dataclass
from pathlib import Path

from .fingerprints import hash_of


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        name: the file's name.
        urls: mirrors of the same bytes, best first.
        hash: "md5:..." or "sha256:...", if known.
        size: in bytes, or 0 if unknown.
        by_hand: advice for users who have to download it themselves.
    """

    name: str
    urls: tuple[str, ...] = ()
    hash: str = ""
    size: int = 0
    by_hand: str = ""
    space = 1  # disk space that it will take, as a multiple of its size

    def fault(self, path: Path) -> str | None:
        """Why ``path`` is not this file, or None."""
        with open(path, "rb") as content:
            head = content.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
            return "a web page arrived instead of the file"
        size = path.stat().st_size
        if self.size and size != self.size:
            return f"{size:,} bytes arrived, but the file should have {self.size:,}"
        if self.hash:
            kind, expected = self.hash.split(":")
            found = hash_of(path, kind)
            if found != expected:
                return f"the downloaded file has the {kind.upper()} hash {found}, not {expected}"
        return "an empty file arrived" if not size else None

    def manual_route(self, path: Path, reasons: list[str]) -> str:
        """What went wrong with each mirror, and how to put the file at ``path`` by hand."""
        what = "could not be downloaded:" if reasons else "has to be downloaded by hand."
        lines = [f"{self.name} {what}", *reasons, *[self.by_hand] * bool(self.by_hand)]
        if self.urls:
            advice = "Check the connection, or download it by hand: open" if reasons else "Open"
            lines += [f"{advice} one of these in a browser,", *(f"  {url}" for url in self.urls)]
        return "\n".join([*lines, f"put the file at\n  {path}\nand run the same command again."])
