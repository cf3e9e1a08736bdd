"""A bad input: files, a command line, and what a good error message contains."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

USER_ERROR = 2
DEMO = "--student demo:student --teacher demo:teacher"
TRAIN = (
    "train.py --root $photos --trainer CoOp_KDPL --dataset-config-file configs/datasets/folder.yaml --config-file "
    "configs/trainers/CoOp_KDPL/demo.yaml --output-dir $here/out"
)
Maker = Callable[[Path, Path], None]  # writes to the first path; the second is the folder of good files
Content = str | bytes | Maker


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        name: unique within its table.
        command: shell words; $here is the case's own folder, and $photos, $run, $prompts and $names are good files.
        says: text that the message must contain; alternatives are separated by |.
        files: files to create in $here beforehand, in this order.
        codes: acceptable exit codes; 0 if the command may succeed.
        stdin: standard input of the command.
    """

    name: str
    command: str
    says: str
    files: Mapping[str, Content] = field(default_factory=dict)
    codes: tuple[int, ...] = (USER_ERROR,)
    stdin: str = ""

    def write(self, here: Path, good: Path) -> None:
        """Create the files."""
        for name, content in self.files.items():
            path = here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path, good)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)


def fifo(path: Path, good: Path) -> None:
    """A named pipe without a writer."""
    os.mkfifo(path)


def folder(path: Path, good: Path) -> None:
    """An empty folder."""
    path.mkdir()


def unix_socket(path: Path, good: Path) -> None:
    """A socket without a listener."""
    with socket.socket(socket.AF_UNIX) as sock:
        before = os.getcwd()
        os.chdir(path.parent)  # socket addresses must be short
        try:
            sock.bind(path.name)
        finally:
            os.chdir(before)


def link(target: str) -> Maker:
    """A symbolic link, whose target may not exist."""
    return lambda path, good: path.symlink_to(target)


def sparse(n_bytes: int) -> Maker:
    """A file of zeros that takes no space on disk."""

    def make(path: Path, good: Path) -> None:
        path.touch()
        os.truncate(path, n_bytes)

    return make


def not_files(name: str) -> dict[str, tuple[Content, str]]:
    """A pipe, a folder and a device in place of the file ``name``, each with what its message says."""
    kinds = {"a pipe": fifo, "a folder": folder, "a device": link("/dev/zero")}
    return {kind: (content, f"{name} is {kind}") for kind, content in kinds.items()}


def copy(name: str) -> Maker:
    """A copy of a good file or folder."""

    def make(path: Path, good: Path) -> None:
        (shutil.copytree if (good / name).is_dir() else shutil.copyfile)(good / name, path)

    return make


def changed(change: Callable[[bytes], bytes], name: str = "") -> Maker:
    """A good file (by default the one already at the path) after a change of its bytes."""
    return lambda path, good: path.write_bytes(change((good / name if name else path).read_bytes())) and None


def cut(share: float, name: str = "") -> Maker:
    """The first part of a file."""
    return changed(lambda content: content[: int(share * len(content))], name)


def garbled(name: str = "", n_bytes: int = 40) -> Maker:
    """A file with random bytes overwritten."""

    def change(content: bytes) -> bytes:
        generator, content = random.Random(0), bytearray(content)
        for _ in range(n_bytes):
            content[generator.randrange(len(content))] = generator.randrange(256)
        return bytes(content)

    return changed(change, name)


def edited(change: Callable[[dict], Any], name: str = "") -> Maker:
    """A JSON file after a change of its content."""

    def change_bytes(content: bytes) -> bytes:
        loaded = json.loads(content)
        return json.dumps(change(loaded) or loaded).encode()

    return changed(change_bytes, name)


def torch_file(content: Callable[[], Any]) -> Maker:
    """A file written by ``torch.save``."""

    def make(path: Path, good: Path) -> None:
        import torch

        torch.save(content(), path)

    return make


def edited_torch(change: Callable[[dict], Any], name: str = "") -> Maker:
    """A checkpoint after a change of its content."""

    def make(path: Path, good: Path) -> None:
        import torch

        content = torch.load(good / name if name else path, weights_only=False)
        torch.save(change(content) or content, path)

    return make


def image(mode: str = "RGB", size: tuple[int, int] = (32, 32), **options: Any) -> Maker:
    """An image of noise."""

    def make(path: Path, good: Path) -> None:
        from PIL import Image

        Image.effect_noise(size, 90).convert(mode).save(path, **options)

    return make
