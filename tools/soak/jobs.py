"""The commands that are killed or run on a full disk, each with a fingerprint of its result."""

import functools
import http.server
import io
import os
import random
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from kdpl.fingerprints import sha256_of, tensors_fingerprint
from kdpl.methods import METHODS
from kdpl.prompts.prompt_file import read_prompt_file
from kdpl.run_record import read_record

ROOT = Path(__file__).parents[2]
DOWNLOAD = (
    "import sys; sys.argv[0] = 'kdpl'; from pathlib import Path; from kdpl.guard import run_command;"
    "from kdpl.downloads import RemoteFile, download;"
    "run_command(lambda: download(RemoteFile('file', (sys.argv[1],), sys.argv[2]), Path(sys.argv[3])))"
)
NEEDED = ("CoOp_KDPL", "kdpl train")  # jobs whose results other jobs read
LAST_LOG = ".last.log"  # output of a command's last run
BENCHMARK = "fgvc_aircraft/fgvc-aircraft-2013b.tar.gz"  # has no published hash, so a small stand-in is accepted
NOT_COUNTED = (".fetching", LAST_LOG)  # files that are not part of a result
N_PICTURES = 2000  # images in the stand-in


@dataclass
class Job:
    """A Python command, and how to compare its results.

    Attributes:
        command: arguments of Python, given the folder to write to.
        result: fingerprint of what the command left in its folder.
        code: exit code of success.
        expected: fingerprint after an undisturbed run.
        seconds: duration of that run.
    """

    name: str
    command: Callable[[Path], list[str]]
    result: Callable[[Path], str]
    code: int = 0
    expected: str = ""
    seconds: float = 0.0
    counts: Counter = field(default_factory=Counter)

    def start(self, folder: Path, **options) -> subprocess.Popen:
        """Start the command; by default its output is discarded."""
        folder.mkdir(parents=True, exist_ok=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *self.command(folder)]
        return subprocess.Popen(command, cwd=ROOT, env=environment, **quiet | options)

    def is_right(self, folder: Path, code: int) -> bool:
        """Whether a command that ended with this exit code left the expected result."""
        try:
            return code == self.code and self.result(folder) == self.expected
        except (ValueError, OSError):
            return False


def jobs_in(place: Path, address: str) -> list[Job]:
    """Training of every method, `kdpl train` with and without a cache, and other commands that read and write files.

    Args:
        place: folder with input files and results.
        address: URL of a server from :func:`served_in`.
    """
    photos, dataset, names = place / "photos", place / "folder.yaml", place / "names.txt"
    for i in range(24):
        picture = photos / ("red" if i % 2 else "blue") / f"{i}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (9 * i, 40, 250 - 9 * i)).save(picture)
    dataset.write_text('DATASET:\n  NAME: "Folder"\n', encoding="utf-8")
    names.write_text("red square\nblue circle\n", encoding="utf-8")

    def train(trainer: str, out: Path) -> list[str]:
        return [
            "train.py", "--root", str(photos), "--seed", "1", "--trainer", trainer, "--output-dir", str(out),
            "--dataset-config-file", str(dataset), "--config-file", f"configs/trainers/{trainer}/demo.yaml",
            "DATALOADER.NUM_WORKERS", "0", "DATALOADER.TRAIN_X.BATCH_SIZE", "4", "OPTIM.MAX_EPOCH", "6",
            "TEST.NO_TEST", "True",
        ]  # fmt: skip

    def learn(out: Path, *more: str) -> list[str]:
        return [
            "-m", "kdpl", "train", str(photos), "--student", "demo:student", "--teacher", "demo:teacher",
            "--classnames", str(names), "--epochs", "6", "--output", str(out / "prompts.safetensors"), *more,
        ]  # fmt: skip

    learned = str(place / "reference" / "kdpl train" / "prompts.safetensors")
    served = f"sha256:{sha256_of(place / 'served' / 'file')}"
    trainings = [Job(name, partial(train, name), prompts_of) for m in METHODS for name in (m, f"{m}_KDPL")]
    return trainings + [
        Job("kdpl train", learn, prompts_of),
        Job("kdpl train --cache", lambda out: learn(out, "--cache", str(out / "cache"), "--views", "3"), prompts_of),
        Job("kdpl predict", lambda out: ["-m", "kdpl", "predict", learned, str(photos), "--batch-size", "2",
            "--output", str(out / "table.csv")], partial(file_in, "table.csv")),
        Job("kdpl export", lambda out: ["-m", "kdpl", "export", learned, str(out / "features.safetensors")],
            partial(file_in, "features.safetensors")),
        Job("sweep", lambda out: ["-m", "tools.sweep", "base2new", "shapes", "1", "--epochs", "1", "--root",
            str(place / "data"), "--output", str(out)], sweep_of),
        Job("data get", lambda out: ["-m", "tools.data", "get", "fgvc_aircraft", "--root", str(out), "--mirror",
            address], tree_of, code=1),  # fails, because the archive does not have all of the published images
        Job("download", lambda out: ["-c", DOWNLOAD, f"{address}/file", served, str(out / "file")],
            partial(file_in, "file")),
    ]  # fmt: skip


def file_in(name: str, folder: Path) -> str:
    return sha256_of(folder / name)


def prompts_of(folder: Path) -> str:
    return tensors_fingerprint(read_prompt_file(folder / "prompts.safetensors")[0])


def sweep_of(folder: Path) -> str:
    return " ".join(read_record(file).prompts_sha256 or "" for file in sorted(folder.rglob("results.json")))


def tree_of(folder: Path) -> str:
    """Paths and hashes of all files except locks and logs."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in NOT_COUNTED)
    return "\n".join(f"{file.relative_to(folder)} {sha256_of(file)}" for file in files)


def served_in(folder: Path) -> "Server":
    """A server for a file of random bytes and the archive of a small benchmark."""
    (folder / BENCHMARK).parent.mkdir(parents=True)
    (folder / "file").write_bytes(random.Random(0).randbytes(2**25))
    with tarfile.open(folder / BENCHMARK, "w:gz") as archive:
        for name, content in benchmark().items():
            member = tarfile.TarInfo(f"fgvc-aircraft-2013b/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return Server(folder)


@functools.cache
def benchmark() -> dict[str, bytes]:
    """The files of a small FGVC-Aircraft, by name, with two classes and noise for images."""
    generator, per_part = random.Random(0), N_PICTURES // 6
    content = {"variants.txt": b"707\nA 310\n"}
    for k, part in enumerate(("train", "val", "test")):
        numbers = range(k * 2 * per_part, (k + 1) * 2 * per_part)
        lines = [f"{n:07} {('707', 'A 310')[n % 2]}\n" for n in numbers]
        content[f"images_variant_{part}.txt"] = "".join(lines).encode()
        content |= {f"images/{n:07}.jpg": generator.randbytes(4000) for n in numbers}
    return content


class Server:
    """A context manager that serves a folder on this machine, and returns the URL."""

    def __init__(self, folder: Path):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args): ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.server.handle_error = lambda *arguments: None  # killed clients drop their connections

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *error) -> None:
        self.server.shutdown()
