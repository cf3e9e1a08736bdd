"""Damage files at random and read them: that must give a value or a ValueError that names the file."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kdpl.outside import csv_rows, parse_json, read_text, read_yaml
from kdpl.prompts.inert_files import read_checkpoint
from kdpl.prompts.prompt_file import read_prompt_file
from kdpl.run_record import finished_record

from .jobs import ROOT


def originals_in(place: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """Intact files, each with the function that reads it."""
    run = place / "reference" / "CoOp_KDPL"
    csv = "path,label\nred/1.jpg,red\nblue/0.jpg,blue\n"
    return {
        "damaged.pth": (next(run.rglob("model.pth.tar-*")).read_bytes(), read_checkpoint),
        "damaged.safetensors": ((run / "prompts.safetensors").read_bytes(), read_prompt_file),
        "damaged.yaml": ((ROOT / "configs/trainers/CoOp_KDPL/demo.yaml").read_bytes(), read_yaml),
        "damaged.csv": (csv.encode(), lambda file: list(csv_rows(read_text(file), file))),
        "damaged.json": ((run / "results.json").read_bytes(), lambda file: parse_json(read_text(file), file)),
        "results.json": ((run / "results.json").read_bytes(), finished_record),
    }


def feed(name: str, original: tuple, file: Path, found: Counter, generator: random.Random) -> None:
    """Damage a file in a hundred ways and read each version."""
    intact, read = original
    for _ in range(100):
        content = bytearray(intact)
        for _ in range(generator.randint(1, 8)):
            byte = generator.choice(
                (generator.randrange(256), generator.randrange(32, 127))
            )  # often printable, so that text files stay text
            content[generator.randrange(len(content))] = byte
        file.write_bytes(content[: generator.randint(1, len(content))] if generator.random() < 0.3 else content)
        try:
            read(file)
            found[name, "read"] += 1
        except Exception as error:
            if type(error) is ValueError and str(file) in str(error):
                found[name, "refused"] += 1
                continue
            found[name, "other"] += 1
            kept = Path(tempfile.mkdtemp(prefix="kdpl-soak-fault-")) / name
            shutil.copy(file, kept)
            print(f"{type(error).__name__}: {error}; the file is kept as {kept}", flush=True)
