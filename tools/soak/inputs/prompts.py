"""Invalid prompt files, class names, tables and options of kdpl's commands."""

import json
import struct
from collections.abc import Sequence

from .case import (
    DEMO,
    Case,
    Content,
    copy,
    cut,
    fifo,
    folder,
    garbled,
    image,
    link,
    not_files,
    sparse,
    torch_file,
    unix_socket,
)


def safetensors(header: object, data: bytes = bytes(64), length: int | None = None) -> bytes:
    """A safetensors file with this header, valid or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def described(description: object) -> bytes:
    """A prompt file with this description and one tensor."""
    tensor = {"ctx": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}
    text = description if isinstance(description, str) else json.dumps(description)
    return safetensors({"__metadata__": {"kdpl": text}, **tensor})


def tensor(shape: list[int], end: int = 64, dtype: str = "F32", names: Sequence[str] = ("ctx",)) -> bytes:
    """A file of tensors that all have the same offsets."""
    return safetensors({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, end]} for name in names})


PROMPTS: dict[str, tuple[Content, str]] = {
    "empty": ("", "p.safetensors"),
    "text": ("hello\n", "p.safetensors"),
    "truncated at 50 %": (cut(0.5, "prompts.safetensors"), "p.safetensors"),
    "truncated at 90 %": (cut(0.9, "prompts.safetensors"), "p.safetensors"),
    "noise": (garbled("prompts.safetensors", 300), "p.safetensors"),
    "zeros": (bytes(4000), "p.safetensors"),
    "an endless header": (safetensors(b"{" * 50, length=2**60), "p.safetensors"),
    "a header nested too deeply": (safetensors(b'{"a":' * 50_000), "p.safetensors"),
    "a list as the header": (safetensors(b"[]"), "p.safetensors"),
    "a tensor beyond the file": (tensor([10**9], end=4 * 10**9), "p.safetensors"),
    "a shape that contradicts the offsets": (tensor([5]), "p.safetensors"),
    "a negative shape": (tensor([-4]), "p.safetensors"),
    "an unknown data type": (tensor([16], dtype="Q7"), "p.safetensors"),
    "overlapping tensors": (tensor([16], names="ab"), "p.safetensors"),
    "no description": (tensor([4, 4]), "--method"),
    "a description that is not JSON": (described("{"), "description"),
    "a list as the description": (described([1]), "description"),
    "an empty description": (described({}), "--method"),
    "an unknown method": (described({"method": "CoOpp"}), "CoOpp|the student of its prompts"),
    "a number as the method": (described({"method": 3}), "method is 3"),
    "a list as the student": (described({"method": "CoOp", "student": []}), "student"),
    "a student that is not a CLIP": (described({"method": "CoOp", "student": {"name": "x"}}), "p.safetensors"),
    "numbers as class names": (described({"method": "CoOp", "classnames": [1, 2]}), "classnames"),
    "a picture": (image(format="JPEG"), "p.safetensors"),
    **not_files("p.safetensors"),
    "a socket": (unix_socket, "p.safetensors is a socket"),
    "a broken link": (link("nothing"), "p.safetensors is a broken link"),
    "a link to itself": (link("p.safetensors"), "is a circular link"),
    "a terabyte of zeros": (sparse(2**40), "p.safetensors"),
    "a checkpoint of something else": (torch_file(lambda: {"model": 1}), "p.safetensors"),
    "an empty state dict": (torch_file(lambda: {"state_dict": {}}), "--method"),
    "a pickle that calls a function": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "p.safetensors"),
}  # fmt: skip
GOOD = "kdpl predict $prompts $photos"
NAMES: dict[str, tuple[Content, str]] = {
    "empty": ("", "names.txt"),
    "a duplicate name": ("cat\nCat\n", "'cat' twice"),
    "Latin-1": ("K\xe4se\n".encode("latin-1"), "UTF-8"),
    "zero bytes": (b"cat\0\n", "zero byte"),
    **not_files("names.txt"),
    "a name of 10,000 letters": ("x" * 10_000 + "\ndog\n", "names.txt|xxx"),
    "a CSV without names": ("LabelName,DisplayName\n", "names.txt"),
    "a ragged CSV": ("LabelName,DisplayName\n/m/1\n", "line 2"),
}
OTHERS = {
    "a missing file": ("kdpl show $here/none.safetensors", "none.safetensors"),
    "a missing repository": ("kdpl show nobody/nothing", "nobody/nothing"),
    "no prompts": ("kdpl predict", "the following arguments are required"),
    "no command": ("kdpl", "COMMAND"),
    "an unknown command": ("kdpl trian", "trian"),
    "no images": ("kdpl predict $prompts", "required"),
    "empty class names": (f"{GOOD} --classnames ,", "empty|names"),
    "class names that differ in case": (f"{GOOD} --classnames cat,Cat", "'cat' twice"),
    "a missing file of class names": (f"{GOOD} --classnames $here/none.txt", "none.txt"),
    "another method": (f"{GOOD} --method VPT", "CoOp"),
    "an unknown method": (f"{GOOD} --method CoOpp", "CoOpp"),
    "another student": (f"{GOOD} --student demo:teacher", "demo:teacher|student"),
    "an unknown student": (f"{GOOD} --student ViT-B/33", "ViT-B/33"),
    "a setting without a value": (f"{GOOD} --set depth", "NAME=VALUE"),
    "an unknown setting": (f"{GOOD} --set colour=red", "colour"),
    "a setting of the wrong type": (f"{GOOD} --set n_ctx=many", "n_ctx"),
    "an unknown device": (f"{GOOD} --device tpu", "tpu"),
    "a missing GPU": (f"{GOOD} --device cuda:7", "cuda"),
    "an empty device": (f"{GOOD} --device ''", "device"),
    "top 0": (f"{GOOD} --top 0", "--top is 0"),
    "top as text": (f"{GOOD} --top five", "--top"),
    "a batch size of 0": (f"{GOOD} --batch-size 0", "--batch-size is 0"),
    "a negative batch size": (f"{GOOD} --batch-size -1", "--batch-size is -1"),
    "a negative number of workers": (f"{GOOD} --workers -2", "loader processes is -2"),
    "10,000 workers": (f"{GOOD} --workers 10000", "loader processes is 10000"),
    "a table as PNG": (f"{GOOD} --output $here/t.png", "t.png"),
    "a table without a suffix": (f"{GOOD} --output $here/t", "must end in"),
    "a table in /proc": (f"{GOOD} --output /proc/t.csv", "/proc/t.csv"),
    "a table that is a folder": (f"{GOOD} --output $photos", "photos"),
    "a table in a file": (f"{GOOD} --output $names/t.csv", "names.txt"),
    "a report that is a folder": (f"{GOOD} --report $photos", "photos"),
    "a report as CSV": (f"{GOOD} --report $here/r.csv", "r.csv"),
    "a missing image": ("kdpl predict $prompts $here/none.jpg", "none.jpg"),
    "an invalid shard": ("kdpl predict $prompts $here/a.tar", "a.tar"),
    "an unknown engine": (f"{GOOD} --engine spark", "--engine"),
    "evaluate: a missing folder": ("kdpl evaluate $prompts $here/none", "none"),
    "evaluate: an output that is a file": ("kdpl evaluate $prompts $photos --output $names", "names.txt"),
    "evaluate: an output in /proc": ("kdpl evaluate $prompts $photos --output /proc/evaluation", "/proc/evaluation"),
    "evaluate: a batch size of 0": ("kdpl evaluate $prompts $photos --batch-size 0", "batch"),
    "evaluate: a negative number of workers": ("kdpl evaluate $prompts $photos --workers -1", "loader processes is -1"),
    "words: top 0": ("kdpl words $prompts --top 0", "--top is 0"),
    "words: a template without {}": ("kdpl words $prompts --template 'a photo'", "'a photo'"),
    "words: an unknown class": ("kdpl words $prompts --class cat", "'cat'"),
    "convert: onto itself": ("kdpl convert $here/p.safetensors $here/p.safetensors", "is the input file"),
    "convert: onto a folder": ("kdpl convert $prompts $photos", "photos"),
    "convert: into /proc": ("kdpl convert $prompts /proc/p.safetensors", "/proc/p.safetensors"),
    "convert: into a pipe": ("kdpl convert $prompts $here/pipe", "pipe is a pipe"),
    "export: an unknown suffix": ("kdpl export $prompts $here/c.tflite", "c.tflite"),
    "export: no suffix": ("kdpl export $prompts $here/c", "ending|.onnx"),
    "export: into /proc": ("kdpl export $prompts /proc/c.safetensors", "/proc/c.safetensors"),
    "export: onto a folder": ("kdpl export $prompts $here/d.safetensors", "d.safetensors"),
    "export: preprocessing in a text matrix": (
        "kdpl export $prompts $here/c.safetensors --with-preprocessing",
        "preprocessing",
    ),
    "export: a missing image folder": ("kdpl export $prompts $here/c.safetensors --images $here/none", "none"),
    "export: an empty image folder": ("kdpl export $prompts $here/c.safetensors --images $here/empty", "no images"),
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
    "negative epochs": (f"{LEARN} --epochs -3", "epochs"),
    "epochs of 10 digits": (f"{LEARN} --epochs 1000000000", "epochs"),
    "an unknown method": (f"{LEARN} --method Coop2", "Coop2"),
    "an unknown student": (f"{LEARN} --student ViT-B/33", "ViT-B/33"),
    "an unknown teacher": (f"{LEARN} --teacher ViT-L/15", "ViT-L/15"),
    "an empty teacher": (f"{LEARN} --teacher ''", "teacher"),
    "missing prompts as a teacher": (f"{LEARN} --teacher prompts:$here/none", "none"),
    "an unknown scale": (f"{LEARN} --teacher-scale big", "big"),
    "a seed of 31 digits": (f"{LEARN} --seed {10**30}", "seed"),
    "an unknown precision": (f"{LEARN} --precision fp8", "fp8"),
    "a negative number of workers": (f"{LEARN} --workers -1", "loader processes is -1"),
    "10,000 workers": (f"{LEARN} --workers 10000", "loader processes is 10000"),
    "negative views": (f"{LEARN} --views -1", "views"),
    "a cache that is a file": (f"{LEARN} --cache $names", "names.txt"),
    "a cache in /proc": (f"{LEARN} --cache /proc/cache", "/proc/cache"),
    "an output that is a folder": (f"{LEARN} --output $here/d.safetensors", "d.safetensors is a folder"),
    "an output in /proc": (f"{LEARN} --output /proc/p.safetensors", "/proc/p.safetensors"),
    "an output in a file": (f"{LEARN} --output $names/p.safetensors", "names.txt"),
    "an output that is a link to a device": (
        f"{LEARN} --output $here/null.safetensors",
        "null.safetensors is a device",
    ),
    "an output with the wrong suffix": (f"{LEARN} --output $here/p.jpg", "p.jpg|safetensors"),
    "a missing vocabulary": (f"kdpl train $photos {DEMO} --vocabulary $here/none.txt", "none.txt"),
    "the default vocabulary offline": (f"kdpl train $photos {DEMO}", "vocabulary"),
    "one class": (f"kdpl train $photos {DEMO} --classnames $here/one.txt --epochs 1", "at least two"),
}
CASES = [
    Case(f"{what}, prompt file: {name}", f"kdpl {what} $here/p.safetensors{more}", says, {"p.safetensors": content},
         codes=(0, 2) if what == "show" else (2,))
    for what, more in (("show", ""), ("predict", " $photos"))
    for name, (content, says) in PROMPTS.items()
    if what != "show" or says != "--method"
]  # fmt: skip
CASES += [
    Case(f"file of class names: {name}", f"{GOOD} --classnames $here/names.txt", says, {"names.txt": content})
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
