"""Few-shot draws published by others, used instead of our own.

2SFS (Farina et al., CVPR 2025, arXiv:2503.11609) published draws from eleven datasets for 1, 2, 4, 8 and 16 shots and
seeds 1 to 3, in files ``<dataset>/split_fewshot/shot_16-seed_1_train.jsonl`` and ``..._val.jsonl`` (only the first for
ImageNet), with one image per line:

    {"_impath": ".../101_ObjectCategories/ant/image_0001.jpg", "_label": 4, "_domain": 0, "_classname": "ant"}
"""

from pathlib import Path, PurePosixPath

from kdpl.outside import parse_json, read_text

from .splits import Item, Split

DRAWS = {"2sfs": "split_fewshot/shot_{shots}-seed_{seed}_{part}.jsonl"}  # relative to the dataset's folder
PATH_KEYS, LABEL_KEYS = ("_impath", "impath", "path"), ("_label", "label")


def read_published_draw(folder: Path, draw: str, split: Split, shots: int, seed: int) -> Split:
    """The training and validation images of ``split`` listed in the files of a draw, in their order.

    Paths are matched by their last parts, whatever folder they start from; labels must be those of the split.

    Args:
        folder: the dataset's folder.
        draw: a name in :data:`DRAWS`, or the path of such files, absolute or relative to ``folder``, with ``{part}``
            and, optionally, ``{shots}`` and ``{seed}``.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if ``draw`` is invalid, a file has another form, or lists images that the split does not have.
    """
    pattern = DRAWS.get(draw.lower(), draw)
    if "{part}" not in pattern:
        raise ValueError(
            f"DATASET.DRAW is {draw!r}; choose from {', '.join(DRAWS)}, give the path of .jsonl files with {{part}} "
            "for train and val, or leave it empty for CoOp's draws."
        )
    parts = {}
    for part in ("train", "val"):
        source = getattr(split, part)
        path = folder / pattern.replace("{shots}", str(shots)).replace("{seed}", str(seed)).replace("{part}", part)
        if path.exists():
            parts[part] = _read_items(path, {item.path: item for item in source}, part)
        elif source:
            raise FileNotFoundError(
                f"DATASET.DRAW is {draw!r}, but {path} does not exist. Put the published file there, or leave "
                "DATASET.DRAW empty for CoOp's draws."
            )
        else:
            parts[part] = []
    return Split(parts["train"], parts["val"], split.test, split.classnames, split.sha256)


def _read_items(path: Path, known: dict[str, Item], part: str) -> list[Item]:
    items = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line, f"line {number}")
            image = next(entry[key] for key in PATH_KEYS if key in entry)
            label = next(entry[key] for key in LABEL_KEYS if key in entry)
        except (ValueError, TypeError, StopIteration) as error:
            raise ValueError(
                f"Line {number} of {path} is not a JSON object with {PATH_KEYS[0]} and {LABEL_KEYS[0]}: {line[:200]}"
            ) from error
        pieces = PurePosixPath(str(image)).parts
        suffixes = ("/".join(pieces[start:]) for start in range(len(pieces)))
        item = next((known[suffix] for suffix in suffixes if suffix in known), None)
        if item is None:
            raise ValueError(
                f"Line {number} of {path} lists {image}, which is not a {part} image in the dataset's split."
            )
        if item.label != label:
            raise ValueError(
                f"Line {number} of {path} gives {image} the label {label}; in the dataset's split it is {item.label}."
            )
        items.append(item)
    if not items:
        raise ValueError(f"{path} lists no images.")
    return items
