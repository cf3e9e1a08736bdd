"""Broken splits, archives and folders of benchmarks, and invalid arguments of tools.data."""

import json

from .case import TRAIN, Case, Content, fifo, folder, image, link, sparse

SPLIT = "d/eurosat/split_zhou_EuroSAT.json"
ITEM = ["a/1.jpg", 0, "a"]
GOOD = {"train": [ITEM, ["b/2.jpg", 1, "b"]], "val": [], "test": [["b/3.jpg", 1, "b"]]}
SPLITS: dict[str, tuple[Content, str]] = {
    "empty": ("", "split_zhou_EuroSAT.json"),
    "null": ("null", "split_zhou_EuroSAT.json"),
    "a list": ("[]", "split_zhou_EuroSAT.json"),
    "an empty object": ("{}", "split_zhou_EuroSAT.json"),
    "truncated": (json.dumps(GOOD)[:-20], "cut off"),
    "a web page": ("<!doctype html>", "web page"),
    "no test images": (json.dumps({"train": [ITEM], "val": []}), "lists train, val and test"),
    "a number for train": (json.dumps({**GOOD, "train": 3}), "lists train, val and test"),
    "no training images": (json.dumps({**GOOD, "train": []}), "no training images"),
    "an entry of two values": (json.dumps({**GOOD, "val": [["a", 0]]}), "in val instead of"),
    "text instead of an entry": (json.dumps({**GOOD, "val": ["a"]}), "in val instead of"),
    "a label below 0": (json.dumps({**GOOD, "val": [["a", -1, "a"]]}), "in val instead of"),
    "a fraction as a label": (json.dumps({**GOOD, "val": [["a", 0.5, "a"]]}), "in val instead of"),
    "a label of 10^8": (json.dumps({**GOOD, "val": [["a", 10**8, "c"]]}), "the label 100000000"),
    "a label of 2^70": (json.dumps({**GOOD, "val": [["a", 2**70, "c"]]}), "the label 1180591620717411303424"),
    "a label of 5,000 digits": (json.dumps(GOOD).replace("0", "9" * 5000, 1), "digits"),
    "a label with two names": (json.dumps({**GOOD, "val": [["a", 0, "b"]]}), "both 'a' and 'b'"),
    "a missing label": (json.dumps({**GOOD, "train": [["a", 0, "a"], ["a", 0, "a"], ["c", 2, "c"]]}), "labels [1]"),
    "a path outside the folder": (json.dumps({**GOOD, "test": [["../../../../etc/passwd", 0, "a"]]}), "passwd"),
    "NaN": (json.dumps(GOOD).replace("0", "NaN", 1), "NaN"),
    "a key twice": ('{"train": [], "train": [], "val": [], "test": []}', "more than once"),
    "nested too deeply": ("[" * 100_000, "too deep"),
    "zero bytes": (bytes(100), "zero byte"),
    "Latin-1": ('{"train": [["\xe4", 0, "a"]]}'.encode("latin-1"), "UTF-8"),
    "a pipe": (fifo, "is a pipe"),
    "a folder": (folder, "is a folder"),
    "a device": (link("/dev/zero"), "is a device"),
    "a link to itself": (link("split_zhou_EuroSAT.json"), "split_zhou_EuroSAT.json"),
    "300 MB of zeros": (sparse(300 * 2**20), "314,572,800 bytes"),
}
RUN = TRAIN.replace("$photos", "$here/d").replace("folder.yaml", "eurosat.yaml")
DRAW = f"{RUN} DATASET.NUM_SHOTS 1 DATASET.DRAW $here/draw_{{part}}.jsonl"
IMAGES: dict[str, Content] = {"d/eurosat/2750/a/1.jpg": image(), "d/eurosat/2750/b/2.jpg": image(),
                              "d/eurosat/2750/b/3.jpg": image()}  # fmt: skip
WHOLE: dict[str, Content] = IMAGES | {SPLIT: json.dumps(GOOD)}
GET = "tools.data get eurosat --root $here/d"
COMMANDS: dict[str, tuple[str, str, dict[str, Content]]] = {
    "nothing": ("tools.data", "command|required", {}),
    "an unknown command": ("tools.data fetch dtd", "fetch", {}),
    "get: nothing": ("tools.data get", "required", {}),
    "get: an unknown dataset": ("tools.data get dtdd", "dtdd", {}),
    "get: a root that is a file": ("tools.data get dtd --root $names", "names.txt", {}),
    "get: a root in /proc": ("tools.data get dtd --root /proc/data", "/proc/data", {}),
    "get: an empty root": ("tools.data get dtd --root ''", "--root is empty", {}),
    "get: a mirror that is not a URL": (f"{GET} --mirror nowhere", "unknown url type", {}),
    "get: a file URL as the mirror": (f"{GET} --mirror file:///etc", "unknown url type", {}),
    "get: a closed port": (f"{GET} --mirror http://127.0.0.1:9", "refused", {}),
    "get: an invalid port": (f"{GET} --mirror http://127.0.0.1:99999", "127.0.0.1", {}),
    "get: a folder that is a file": (GET, "eurosat", {"d/eurosat": "x"}),
    "get: a wrong archive": (GET, "EuroSAT.zip", {"d/eurosat/EuroSAT.zip": "x"}),
    "get: an archive that is a pipe": (GET, "EuroSAT.zip",
                                       {"d/eurosat/EuroSAT.zip": fifo}),
    "check: an unknown dataset": ("tools.data check dtdd", "dtdd", {}),
    "check: a missing root": ("tools.data check --root $here/none", "none", {}),
    "check: a root that is a file": ("tools.data check eurosat --root $names", "names.txt", {}),
    "check: broken images": ("tools.data check eurosat --images --root $here/d", "1.jpg",
                                      WHOLE | {"d/eurosat/2750/a/1.jpg": "x"}),
    "check: images that are pipes": ("tools.data check eurosat --images --root $here/d", "a/1.jpg",
                                     WHOLE | {"d/eurosat/2750/a/1.jpg": fifo}),
    "check: a broken index": ("tools.data check eurosat --images --root $here/d", "INCOMPLETE",
                                       WHOLE | {"d/eurosat/.kdpl_images.json": "{"}),
    "fix: a missing root": ("tools.data fix dtd --root $here/none --dry-run", "none", {}),
    "fix: a link to a parent folder": ("tools.data fix dtd --root $here/d --dry-run", "dtd|Describable",
                                    {"d/x/y": "", "d/x/up": link("../../d")}),
    "split: an empty folder": ("tools.data split eurosat --root $here/d", "eurosat", {"d/eurosat": folder}),
    "split: an existing split": ("tools.data split eurosat --root $here/d", "exists", WHOLE),
    "split: a seed as text": ("tools.data split eurosat --seed one", "--seed", {}),
    "train: a folder with another layout": (RUN, "2750", {"d/eurosat/x/1.jpg": image()}),
    "train: a text file as an image": (RUN, "a/1.jpg", WHOLE | {"d/eurosat/2750/a/1.jpg": "x"}),
    "train: a pipe as an image": (RUN, "a/1.jpg: a pipe", WHOLE | {"d/eurosat/2750/a/1.jpg": fifo}),
    "train: a missing draw": (DRAW, "draw_train.jsonl", WHOLE),
    "train: a draw of text": (DRAW, "draw_train.jsonl", WHOLE | {"draw_train.jsonl": "hello\n"}),
    "train: a draw of numbers": (DRAW, "draw_train.jsonl", WHOLE | {"draw_train.jsonl": "3\n"}),
    "train: a draw of unknown images": (DRAW, "c/9.jpg",
                                        WHOLE | {"draw_train.jsonl": '{"impath": "c/9.jpg", "label": 0}\n'}),
    "train: a draw that is a pipe": (DRAW, "draw_train.jsonl", WHOLE | {"draw_train.jsonl": fifo}),
    "train: an unknown subset of classes": (f"{RUN} DATASET.SUBSAMPLE_CLASSES halves", "halves", WHOLE),
}  # fmt: skip
CASES = [Case(f"a split: {name}", RUN, says, IMAGES | {SPLIT: content}) for name, (content, says) in SPLITS.items()]
CASES.append(Case("a split: missing images", RUN, "missing",
                  {"d/eurosat/2750/c/1.jpg": image(), SPLIT: json.dumps(GOOD)}))  # fmt: skip
CASES += [
    Case(
        name,
        command,
        says,
        files,
        codes=(0, 1, 2)
        if name == "fix: a link to a parent folder"
        else (1, 2)
        if command.startswith("tools.data")
        else (2,),
    )
    for name, (command, says, files) in COMMANDS.items()
]
