"""Invalid label files, class names and splits of a user's own images."""

import json

from .case import TRAIN, Case, Content, copy, fifo, folder, link, not_files, sparse

RUN = f"{TRAIN.replace('$photos', '$here/photos')} OPTIM.MAX_EPOCH 1 DATALOADER.NUM_WORKERS 0"
A, B = "red_square/1.jpg", "blue_circle/0.jpg"
CSV: dict[str, tuple[Content, str]] = {
    "empty": ("", "labels.csv"),
    "spaces": (" \n \n", "labels.csv"),
    "only a header": ("path,label\n", "labels.csv lists no images"),
    "no column of labels": (f"path\n{A}\n{B}\n", "no label column"),
    "one column, no header": (f"{A}\n{B}\n", "no label column"),
    "unknown columns": (f"picture,kind\n{A},red\n", "picture"),
    "a ragged row": (f"path,label\n{A},red,x\n", "line 2"),
    "a ragged row after a good one": (f"path,label\n{A},red\n{B}\n", "line 3"),
    "an unclosed quote": (f'path,label\n"{A},red\n{B},blue\n', "a quote is not closed"),
    "a quote inside a cell": (f'path,label\n{A},"re"d\n', "line 2"),
    "a cell of 2 MB": (f"path,label\n{A},{'r' * 2**21}\n", "line 2"),
    "an empty path": (f"path,label\n,red\n{B},blue\n", "is not a path"),
    "an unknown split": (f"path,label,split\n{A},red,trian\n{B},blue,test\n", "'trian'"),
    "a split for only some images": (f"path,label,split\n{A},red,train\n{B},blue,\n", "for only some images"),
    "two labels for one image": (f"path,label\n{A},red\n{A},blue\n", "both 'red' and 'blue'"),
    "labels that differ in case": (f"path,label\n{A},Red\n{B},red\n", "'Red'"),
    "labels that differ in an underscore": (f"path,label\n{A},red square\n{B},red_square\n", "red_square"),
    "missing images": ("path,label\nred/99.jpg,red\nblue/98.jpg,blue\n", "red/99.jpg"),
    "no training images": (f"path,label,split\n{A},red,test\n{B},blue,test\n", "training"),
    "Latin-1": (f"path,label\n{A},K\xe4se\n".encode("latin-1"), "UTF-8"),
    "UTF-16 without a byte order mark": (f"path,label\n{A},red\n".encode("utf-16-le"), "labels.csv"),
    "zero bytes": (f"path,label\n{A},red\0\n".encode(), "zero byte"),
    "an escape sequence": (f"path,label\n{A},\x1b[31mred\n", "label is"),
    "a label of 10,000 letters": (f"path,label\n{A},{'r' * 10_000}\n", "label is"),
    "a web page": ("<html><body>Sign in</body></html>\n", "labels.csv"),
    "noise": (bytes(range(256)) * 20, "labels.csv"),
    "an Excel workbook": (b"PK\x03\x04" + bytes(range(200)) * 9, "labels.csv"),
    **not_files("labels.csv"),
    "300 MB of zeros": (sparse(300 * 2**20), "314,572,800 bytes"),
    "paths outside the folder": ("path,label\n../../../../etc/hostname,red\n/etc/passwd,blue\n", "etc"),
    "the path of a pipe": (f"path,label\npipe.jpg,red\n{B},blue\n", "pipe.jpg"),
}
JSON: dict[str, tuple[Content, str]] = {
    "empty": ("", "labels.json"),
    "null": ("null", "labels.json"),
    "a number": ("3", "labels.json"),
    "an empty list": ("[]", "lists no images"),
    "an empty object": ("{}", "lists no images"),
    "truncated": (json.dumps({A: "red", B: "blue"})[:-12], "cut off"),
    "a key twice": (f'{{"{A}": "red", "{A}": "blue"}}', "more than once"),
    "NaN": (f'{{"{A}": NaN}}', "NaN"),
    "a list as a label": (f'{{"{A}": ["red"]}}', "label is"),
    "a Boolean label": (f'{{"{A}": true}}', "label is"),
    "a fraction as a label": (f'{{"{A}": 1.5}}', "label is"),
    "an entry of four values": (f'[["{A}", "red", "train", 1]]', "entry 0"),
    "an entry of one value": (f'[["{A}"]]', "entry 0"),
    "text instead of entries": (f'["{A}"]', "entry 0"),
    "objects without a path": ('[{"file": "x", "label": "red"}]', "entry 0"),
    "nested too deeply": ("[" * 100_000, "too deep"),
    "a number of 10,000 digits": (f'{{"{A}": {"9" * 10_000}}}', "labels.json"),
    "CoOp's format, a number for train": ('{"train": 3, "val": [], "test": []}', "labels.json"),
    "CoOp's format, an entry of two values": (f'{{"train": [["{A}", 0]], "val": [], "test": 3}}', "labels.json"),
    "lone surrogates": (f'{{"{A}": "\\ud800"}}', "label is"),
    "a web page": ("<!doctype html>", "web page"),
    "JSON Lines": (f'{{"{A}": "red"}}\n{{"{B}": "blue"}}\n', "line 2"),
}
NAMES: dict[str, tuple[Content, str]] = {
    "empty": ("", "is empty"),
    "spaces": ("  \n\n \n", "is empty"),
    "a duplicate name": ("red square\nblue circle\nred square\n", "twice"),
    "names that differ in case": ("Red square\nred square\nblue circle\n", "Red square"),
    "other names": ("cat\ndog\n", "blue_circle|no class|class"),
    "a missing name": ("red square\n", "blue_circle"),
    "zero bytes": (b"red square\0\nblue circle\n", "zero byte"),
    "Latin-1": ("K\xe4se\n".encode("latin-1"), "UTF-8"),
    "a pipe": (fifo, "classnames.txt is a pipe"),
    "a folder": (folder, "classnames.txt is a folder"),
    "a device": (link("/dev/urandom"), "classnames.txt is a device"),
    "a name of 5,000 letters": (f"{'r' * 5000}\nblue circle\n", "red_square"),
    "noise": (bytes(range(1, 256)) * 8, "classnames.txt"),
}


def cases_of(file: str, contents: dict[str, tuple[Content, str]]) -> list[Case]:
    """One case for each content of this file among good photos."""
    photos = {"photos": copy("photos")}
    pipes = {"photos/pipe.jpg": fifo}
    return [
        Case(f"{file}: {name}", RUN, says, photos | (pipes if "pipe.jpg" in says else {}) | {f"photos/{file}": content})
        for name, (content, says) in contents.items()
    ]


CASES = cases_of("labels.csv", CSV) + cases_of("labels.json", JSON)
CASES += [
    case if "other names" not in case.name else Case(case.name, case.command, case.says, case.files, codes=(0, 2))
    for case in cases_of("classnames.txt", NAMES)
]
