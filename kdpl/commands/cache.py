"""List or clear a feature cache: its towers, its size, and when it was last used."""

import argparse
import math
import time
from pathlib import Path

EXAMPLE = "kdpl cache output/.features"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "folder", type=Path, help="TRAINER.KDPL.CACHE_DIR, the `cache` argument of kdpl.distill, or a sweep's .features"
    )
    add("--clear", action="store_true", help="remove all features; training in progress will recompute its own")
    add("--unused-for", type=float, default=0.0, metavar="DAYS", help="with --clear: only if unused for this many days")


def run(args: argparse.Namespace) -> None:
    from ..caching.shards import Shards, is_cache

    if not is_cache(args.folder):
        raise ValueError(
            f"{args.folder} is not a feature cache. Pass the folder that TRAINER.KDPL.CACHE_DIR is set to."
        )
    if args.unused_for and not args.clear:
        raise ValueError("--unused-for needs --clear.")
    shards = Shards(args.folder, max_bytes=0)
    if args.clear:
        freed = shards.clear(time.time() - 86_400 * args.unused_for if args.unused_for else math.inf)
        print(f"Removed {freed / 1e6:.1f} MB from {args.folder}")
        return
    print(*listing(shards), sep="\n")


def listing(shards) -> list[str]:
    """One line per tower and kind of input, and the total."""
    import json

    lines = [f"{'features':>10}  {'MB':>9}  source"]
    for space, (n_rows, n_bytes) in sorted(shards.contents().items(), key=lambda item: -item[1][1]):
        stored = shards.notes.get(space)
        what = _in_words(json.loads(stored)["depends_on"]) if stored else "unknown"
        lines.append(f"{n_rows:>10,}  {n_bytes / 1e6:>9.1f}  {what}")
    files = shards.files()
    used = max((file.stat().st_mtime for file in files), default=None)
    when = "" if used is None else time.strftime(", last used on %Y-%m-%d at %H:%M", time.localtime(used))
    return [*lines, f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} shards{when}"]


def _in_words(depends_on: dict) -> str:
    """The origin of features, in a readable form."""
    from ..clip.openai import OPENAI_WEIGHTS

    names = {sha256: name for name, (sha256, *_) in OPENAI_WEIGHTS.items()}

    def clip(weights: str) -> str:
        return names.get(weights, f"weights {weights[:12]}")

    device, stored = depends_on.get("device", "?"), depends_on.get("stored", "?")
    if "texts" in depends_on:
        return f"texts {depends_on['texts']!r}, {clip(depends_on['weights'])}, on {device}"
    towers = [f"{clip(tower['weights'])} ({tower['precision']})" for tower in depends_on.get("tower", [])]
    augmented = "augmented" if "Random" in str(depends_on.get("input")) else "plain"
    return f"{augmented} images, {' and '.join(towers)}, stored as {stored}, on {device}"
