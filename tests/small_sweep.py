"""A sweep of tiny CLIPs on tiny datasets, and its records."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from .tiny_clip import save_student_and_teacher
from .tiny_datasets import tiny_split, write_jpeg


def write_root(root: Path) -> Path:
    """A data root with small EuroSAT and DTD datasets and two tiny CLIPs."""
    for folder, images, split_file in (
        ("eurosat", "2750", "split_zhou_EuroSAT.json"),
        ("dtd", "images", "split_zhou_DescribableTextures.json"),
    ):
        split = tiny_split(n_classes=4, n_train=3, n_val=1, n_test=3)
        for n, (path, *_) in enumerate(split["train"] + split["val"] + split["test"]):
            write_jpeg(root / folder / images / path, n)
        (root / folder / split_file).write_text(json.dumps(split))
    return save_student_and_teacher(root)


def small_spec(root: Path, **options: object) -> dict:
    """A sweep of one training with two tests, and zero-shot CLIP on both: three runs, five records."""
    return {
        "protocol": "cross_dataset",
        "source": "eurosat",
        "datasets": "dtd",
        "students": {str(root / "student.safetensors"): ["CoOp"]},
        "teacher": str(root / "teacher.safetensors"),
        "settings": ["kdpl", "zeroshot_student"],
        "epochs": {"CoOp": 2},
        "seeds": 1,
        "shots": 2,
        "threads": 1,
        "options": {
            "INPUT.SIZE": "(32, 32)",
            "DATALOADER.NUM_WORKERS": 0,
            "DATALOADER.TRAIN_X.BATCH_SIZE": 4,
            "USE_CUDA": False,
            **options,
        },
    }


def arguments_of(spec: Mapping, root: Path, output: Path) -> list[str]:
    file = output / "spec.yaml"
    output.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(dict(spec)))
    return [str(file), "--root", str(root), "--output", str(output)]


def records(output: Path) -> dict[str, dict]:
    """The records of all runs below a folder, without times, memory and folder names."""
    found = {}
    for file in sorted(output.rglob("results.json")):
        name = file.parent.relative_to(output)
        if not any(part.startswith(".") for part in name.parts):
            record = json.loads(file.read_text().replace(str(output), "OUTPUT"))
            del record["phases"]
            found[str(name)] = record
    return found
