"""Prompt files, class names, tables and models that kdpl's commands cannot work with."""

import json
import struct
from collections.abc import Sequence

from .case import DEMO, Case, Content, copy, cut, fifo, folder, garbled, image, link, sparse, torch_file, unix_socket


def safetensors(header: object, data: bytes = bytes(64), length: int | None = None) -> bytes:
    """A file with this header, whether it fits or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def described(description: object) -> bytes:
    """A prompt file of one tensor with this description."""
    tensor = {"ctx": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}
    text = description if isinstance(description, str) else json.dumps(description)
    return safetensors({"__metadata__": {"kdpl": text}, **tensor})


def tensor(shape: list[int], end: int = 64, dtype: str = "F32", names: Sequence[str] = ("ctx",)) -> bytes:
    """A file of tensors that all lie in the same place."""
    return safetensors({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, end]} for name in names})


PROMPTS: dict[str, tuple[Content, str]] = {
    "empty": ("", "p.safetensors"),
    "text": ("hello\n", "p.safetensors"),
    "cut off": (cut(0.5, "prompts.safetensors"), "p.safetensors"),
    "without tensors": (cut(0.9, "prompts.safetensors"), "p.safetensors"),
    "noise": (garbled("prompts.safetensors", 300), "p.safetensors"),
    "zeros": (bytes(4000), "p.safetensors"),
    "a header without end": (safetensors(b"{" * 50, length=2**60), "p.safetensors"),
    "a header too deep": (safetensors(b'{"a":' * 50_000), "p.safetensors"),
    "no header": (safetensors(b"[]"), "p.safetensors"),
    "a tensor beyond the file": (tensor([10**9], end=4 * 10**9), "p.safetensors"),
    "shapes that do not fit": (tensor([5]), "p.safetensors"),
    "a negative shape": (tensor([-4]), "p.safetensors"),
    "an unknown type": (tensor([16], dtype="Q7"), "p.safetensors"),
    "overlapping tensors": (tensor([16], names="ab"), "p.safetensors"),
    "no description": (tensor([4, 4]), "--method"),
    "a description that is no JSON": (described("{"), "description"),
    "a description that is a list": (described([1]), "description"),
    "an empty description": (described({}), "--method"),
    "a method that is none": (described({"method": "CoOpp"}), "CoOpp|the student of its prompts"),
    "a method that is a number": (described({"method": 3}), "method is 3"),
    "a student that is a list": (described({"method": "CoOp", "student": []}), "student"),
    "a student that is no CLIP": (described({"method": "CoOp", "student": {"name": "x"}}), "p.safetensors"),
    "names that are numbers": (described({"method": "CoOp", "classnames": [1, 2]}), "classnames"),
    "a picture": (image(format="JPEG"), "p.safetensors"),
    "a pipe": (fifo, "p.safetensors is a pipe"),
    "a folder": (folder, "p.safetensors is a folder"),
    "a socket": (unix_socket, "p.safetensors is a socket"),
    "a device": (link("/dev/zero"), "p.safetensors is a device"),
    "a link to nothing": (link("nothing"), "p.safetensors is a broken link"),
    "a link to itself": (link("p.safetensors"), "is a circular link"),
    "a terabyte of nothing": (sparse(2**40), "p.safetensors"),
    "a checkpoint of something else": (torch_file(lambda: {"model": 1}), "p.safetensors"),
    "a state dict of nothing": (torch_file(lambda: {"state_dict": {}}), "--method"),
    "a pickle of a call": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "p.safetensors"),
}  # fmt: skip
GOOD = "kdpl predict $prompts $photos"
NAMES: dict[str, tuple[Content, str]] = {
    "empty": ("", "names.txt"),
    "a name twice": ("cat\nCat\n", "'cat' twice"),
    "Latin-1": ("K\xe4se\n".encode("latin-1"), "UTF-8"),
    "zero bytes": (b"cat\0\n", "zero byte"),
    "a pipe": (fifo, "names.txt is a pipe"),
    "a folder": (folder, "names.txt is a folder"),
    "a device": (link("/dev/zero"), "names.txt is a device"),
    "a name of 10,000 letters": ("x" * 10_000 + "\ndog\n", "names.txt|xxx"),
    "a CSV without names": ("LabelName,DisplayName\n", "names.txt"),
    "a ragged CSV": ("LabelName,DisplayName\n/m/1\n", "line 2"),
}
OTHERS = {
    "no such file": ("kdpl show $here/none.safetensors", "none.safetensors"),
    "no such repository": ("kdpl show nobody/nothing", "nobody/nothing"),
    "no prompts": ("kdpl predict", "the following arguments are required"),
    "no command": ("kdpl", "COMMAND"),
    "a command that is none": ("kdpl trian", "trian"),
    "no images": ("kdpl predict $prompts", "required"),
    "names that are empty": (f"{GOOD} --classnames ,", "empty|names"),
    "names that are the same": (f"{GOOD} --classnames cat,Cat", "'cat' twice"),
    "a file of names that is missing": (f"{GOOD} --classnames $here/none.txt", "none.txt"),
    "another method": (f"{GOOD} --method VPT", "CoOp"),
    "a method that is none": (f"{GOOD} --method CoOpp", "CoOpp"),
    "another student": (f"{GOOD} --student demo:teacher", "demo:teacher|student"),
    "a student that is none": (f"{GOOD} --student ViT-B/33", "ViT-B/33"),
    "a setting that is none": (f"{GOOD} --set depth", "NAME=VALUE"),
    "an unknown setting": (f"{GOOD} --set colour=red", "colour"),
    "a setting of another kind": (f"{GOOD} --set n_ctx=many", "n_ctx"),
    "a device that is none": (f"{GOOD} --device tpu", "tpu"),
    "a card that is not there": (f"{GOOD} --device cuda:7", "cuda"),
    "a device of nothing": (f"{GOOD} --device ''", "device"),
    "top 0": (f"{GOOD} --top 0", "--top is 0"),
    "top text": (f"{GOOD} --top five", "--top"),
    "batches of 0": (f"{GOOD} --batch-size 0", "--batch-size is 0"),
    "batches below 0": (f"{GOOD} --batch-size -1", "--batch-size is -1"),
    "workers below 0": (f"{GOOD} --workers -2", "loader processes is -2"),
    "10,000 workers": (f"{GOOD} --workers 10000", "loader processes is 10000"),
    "a table as a picture": (f"{GOOD} --output $here/t.png", "t.png"),
    "a table without ending": (f"{GOOD} --output $here/t", "must end in"),
    "a table in no folder": (f"{GOOD} --output /proc/t.csv", "/proc/t.csv"),
    "a table that is a folder": (f"{GOOD} --output $photos", "photos"),
    "a table below a file": (f"{GOOD} --output $names/t.csv", "names.txt"),
    "a report that is a folder": (f"{GOOD} --report $photos", "photos"),
    "a report as a table": (f"{GOOD} --report $here/r.csv", "r.csv"),
    "an image that is missing": ("kdpl predict $prompts $here/none.jpg", "none.jpg"),
    "a shard that is none": ("kdpl predict $prompts $here/a.tar", "a.tar"),
    "an engine that is none": (f"{GOOD} --engine spark", "--engine"),
    "evaluate: no folder": ("kdpl evaluate $prompts $here/none", "none"),
    "evaluate: an output that is a file": ("kdpl evaluate $prompts $photos --output $names", "names.txt"),
    "evaluate: an output in /proc": ("kdpl evaluate $prompts $photos --output /proc/evaluation", "/proc/evaluation"),
    "evaluate: batches of 0": ("kdpl evaluate $prompts $photos --batch-size 0", "batch"),
    "evaluate: workers below 0": ("kdpl evaluate $prompts $photos --workers -1", "loader processes is -1"),
    "words: top 0": ("kdpl words $prompts --top 0", "--top is 0"),
    "words: a template that is none": ("kdpl words $prompts --template 'a photo'", "'a photo'"),
    "words: an unknown class": ("kdpl words $prompts --class cat", "'cat'"),
    "convert: onto itself": ("kdpl convert $here/p.safetensors $here/p.safetensors", "is the input file"),
    "convert: into a folder": ("kdpl convert $prompts $photos", "photos"),
    "convert: into /proc": ("kdpl convert $prompts /proc/p.safetensors", "/proc/p.safetensors"),
    "convert: into a device": ("kdpl convert $prompts $here/pipe", "pipe is a pipe"),
    "export: an unknown ending": ("kdpl export $prompts $here/c.tflite", "c.tflite"),
    "export: no ending": ("kdpl export $prompts $here/c", "ending|.onnx"),
    "export: into /proc": ("kdpl export $prompts /proc/c.safetensors", "/proc/c.safetensors"),
    "export: onto a folder": ("kdpl export $prompts $here/d.safetensors", "d.safetensors"),
    "export: preprocessing in a matrix": (
        "kdpl export $prompts $here/c.safetensors --with-preprocessing",
        "preprocessing",
    ),
    "export: images that are missing": ("kdpl export $prompts $here/c.safetensors --images $here/none", "none"),
    "export: images of none": ("kdpl export $prompts $here/c.safetensors --images $here/empty", "no images"),
}
FILES: dict[str, Content] = {
    "p.safetensors": copy("prompts.safetensors"),
    "a.tar": "no tar",
    "d.safetensors": folder,
    "empty": folder,
    "pipe": fifo,
}
LEARN = f"kdpl train $photos {DEMO} --classnames $names --epochs 1 --output $here/p.safetensors"
TRAININGS = {
    "no photos": ("kdpl train", "required"),
    "epochs 0": (f"{LEARN} --epochs 0", "epochs"),
    "epochs below 0": (f"{LEARN} --epochs -3", "epochs"),
    "epochs of 10 digits": (f"{LEARN} --epochs 1000000000", "epochs"),
    "a method that is none": (f"{LEARN} --method Coop2", "Coop2"),
    "a student that is none": (f"{LEARN} --student ViT-B/33", "ViT-B/33"),
    "a teacher that is none": (f"{LEARN} --teacher ViT-L/15", "ViT-L/15"),
    "a teacher of nothing": (f"{LEARN} --teacher ''", "teacher"),
    "prompts of nobody as a teacher": (f"{LEARN} --teacher prompts:$here/none", "none"),
    "a scale that is none": (f"{LEARN} --teacher-scale big", "big"),
    "a seed of 30 digits": (f"{LEARN} --seed {10**30}", "seed"),
    "a precision that is none": (f"{LEARN} --precision fp8", "fp8"),
    "workers below 0": (f"{LEARN} --workers -1", "loader processes is -1"),
    "10,000 workers": (f"{LEARN} --workers 10000", "loader processes is 10000"),
    "views below 0": (f"{LEARN} --views -1", "views"),
    "a cache that is a file": (f"{LEARN} --cache $names", "names.txt"),
    "a cache in /proc": (f"{LEARN} --cache /proc/cache", "/proc/cache"),
    "an output that is a folder": (f"{LEARN} --output $here/d.safetensors", "d.safetensors is a folder"),
    "an output in /proc": (f"{LEARN} --output /proc/p.safetensors", "/proc/p.safetensors"),
    "an output below a file": (f"{LEARN} --output $names/p.safetensors", "names.txt"),
    "an output that is a link to a device": (
        f"{LEARN} --output $here/null.safetensors",
        "null.safetensors is a device",
    ),
    "an output of another kind": (f"{LEARN} --output $here/p.jpg", "p.jpg|safetensors"),
    "a vocabulary that is missing": (f"kdpl train $photos {DEMO} --vocabulary $here/none.txt", "none.txt"),
    "the vocabulary offline": (f"kdpl train $photos {DEMO}", "vocabulary"),
    "one class": (f"kdpl train $photos {DEMO} --classnames $here/one.txt --epochs 1", "at least two"),
}
CASES = [
    Case(f"{what} a file: {name}", f"kdpl {what} $here/p.safetensors{more}", says, {"p.safetensors": content},
         codes=(0, 2) if what == "show" else (2,))
    for what, more in (("show", ""), ("predict", " $photos"))
    for name, (content, says) in PROMPTS.items()
    if what != "show" or says != "--method"
]  # fmt: skip
CASES += [
    Case(f"names in a file: {name}", f"{GOOD} --classnames $here/names.txt", says, {"names.txt": content})
    for name, (content, says) in NAMES.items()
]
CASES += [Case(name, command, says, FILES) for name, (command, says) in OTHERS.items()]
CASES += [
    Case(
        f"kdpl train: {name}",
        command,
        says,
        {"one.txt": "cat\n", "null.safetensors": link("/dev/null"), "d.safetensors": folder},
    )
    for name, (command, says) in TRAININGS.items()
]
