"""A page of classified photos, least certain first."""

import base64
import heapq
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..atomic_files import atomic_path, check_place
from ..classifier import Classifier
from ..pages import render
from .items import Item, each_item
from .rows import Row

TEMPLATE = Path(__file__).with_name("report.html.j2")
MOST_PHOTOS = 1000  # the least certain ones; a page with more is slow to open
MOST_UNREADABLE = 100
SIDE, QUALITY = 176, 70  # pixels and JPEG quality of a thumbnail


def check_report(path: Path | None) -> None:
    """Refuse a page whose name does not end in .html.

    Raises:
        ValueError: if it does not.
    """
    if path is not None and path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--report is {path}; its name must end in .html.")
    if path is not None:
        check_place(path)


def write_report(path: Path, rows: Callable[[], Iterator[Row]], sources: Sequence[str], classifier: Classifier) -> None:
    """Write the page, atomically.

    Args:
        rows: returns an iterator over all rows; called more than once.
        sources: the images, for thumbnails.
    """
    counts: Counter[int] = Counter()
    sums: Counter[int] = Counter()
    unreadable = []
    for row in rows():
        if row.error:
            unreadable.append(row) if len(unreadable) < MOST_UNREADABLE else None
        else:
            counts[row.top[0][0]] += 1
            sums[row.top[0][0]] += row.top[0][1]
    readable = ((i, row) for i, row in enumerate(rows()) if not row.error)
    chosen = dict(heapq.nsmallest(MOST_PHOTOS, readable, key=lambda pair: (pair[1].top[0][1], pair[0])))
    names = classifier.classnames
    page = render(
        TEMPLATE,
        "Predictions",
        classes=[(names[c], n, sums[c] / n) for c, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))],
        n_images=sum(counts.values()),
        n_unreadable=sum(row.error is not None for row in rows()),
        unreadable=unreadable,
        photos=_photos(chosen, sources, names),
        description=classifier.description,
        n_cls=len(names),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _photos(chosen: dict[int, Row], sources: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    """The chosen images with their thumbnails, least certain first."""
    thumbnails = {i: _thumbnail(item) for i, item in enumerate(each_item(sources)) if i in chosen}
    return [
        {
            "name": row.name,
            "thumbnail": thumbnails.get(i, ""),
            "top": [(names[c], probability) for c, probability in row.top],
        }
        for i, row in chosen.items()
    ]


def _thumbnail(item: Item) -> str:
    """A small JPEG as a data URL; empty if the image can no longer be read."""
    try:
        image = item.read()
    except (ValueError, OSError):
        return ""
    image.thumbnail((SIDE * 2, SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
