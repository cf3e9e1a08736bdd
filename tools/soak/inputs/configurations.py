"""Invalid configuration files and flags of train.py."""

from .case import TRAIN, Case, Content, garbled, link, not_files, sparse, unix_socket

BASE = "OPTIM: {MAX_EPOCH: 1}\nTRAINER: {COOP: {CTX_INIT: a photo of a}}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
FILES: dict[str, tuple[Content, str]] = {  # name: content of a method's file, and what the message names
    "an unknown key": ("OPTIM: {MAX_EPOCHS: 3}\n", "'OPTIM.MAX_EPOCHS'"),
    "an unknown group": ("OPTIMIZER: {LR: 0.1}\n", "'OPTIMIZER.LR'"),
    "a group as a number": ("OPTIM: 3\n", "OPTIM in"),
    "an empty group": ("OPTIM:\n", "OPTIM in"),
    "a number as text": ("OPTIM: {LR: quick}\n", "OPTIM.LR cannot be 'quick'"),
    "a number as a list": ("OPTIM: {LR: [1, 2]}\n", "OPTIM.LR cannot be"),
    "a value as a group": ("OPTIM: {LR: {x: 1}}\n", "'OPTIM.LR.x'"),
    "nan": ("OPTIM: {LR: .nan}\n", "OPTIM.LR"),
    "infinity": ("OPTIM: {LR: .inf}\n", "OPTIM.LR"),
    "a date": ("OPTIM: {LR: 2022-12-24}\n", "OPTIM.LR"),
    "a number in base 60": ("OPTIM: {MAX_EPOCH: 1:30:00}\n", "1:30:00"),
    "a number in base 8": ("OPTIM: {MAX_EPOCH: 010}\n", "010"),
    "an unquoted no as a name": ("OPTIM: {NAME: no}\n", "OPTIM.NAME"),
    "null": ("OPTIM: {MAX_EPOCH: null}\n", "OPTIM.MAX_EPOCH is None"),
    "a key twice": (BASE + "OPTIM: {LR: 0.1}\n", "'OPTIM' occurs twice"),
    "a nested key twice": ("OPTIM:\n  LR: 0.1\n  LR: 0.2\n", "'LR' occurs twice"),
    "a number as a key": ("1: 2\n", "line 1"),
    "a list as a key": ("[a, b]: 2\n", "line 1"),
    "a merge key": ("x: &x {LR: 0.1}\nOPTIM:\n  <<: *x\n", "merge keys"),
    "an alias to itself": ("OPTIM: &x\n  LR: *x\n", "refers to itself"),
    "aliases that multiply": (BOMB, "aliases"),
    "an unknown alias": ("OPTIM: *nowhere\n", "line 1"),
    "a tag that runs code": ("OPTIM: !!python/object/apply:os.system [true]\n", "line 1"),
    "a custom tag": ("OPTIM: !mine {LR: 0.1}\n", "line 1"),
    "two documents": ("OPTIM: {LR: 0.1}\n---\nOPTIM: {LR: 0.2}\n", "method.yaml"),
    "a list": ("- OPTIM\n", "method.yaml"),
    "a word": ("OPTIM\n", "method.yaml"),
    "an unclosed bracket": ("OPTIM: [1\n", "line 2"),
    "an unclosed quote": ('OPTIM: {NAME: "sgd}\n', "line"),
    "a tab": ("OPTIM:\n\tLR: 0.1\n", "line 2"),
    "wrong indentation": ("OPTIM:\n    LR: 0.1\n  NAME: sgd\n", "line 3"),
    "nested too deeply": ("a: " + "[" * 5000 + "\n", "too deep"),
    "blocks nested too deeply": ("".join(f"{' ' * n}a:\n" for n in range(500)), "too deep|line"),
    "a bell": ("OPTIM: \x07\n", "method.yaml"),
    "a zero byte": (b"OPTIM: {LR: 0.1}\n\0", "zero byte"),
    "Latin-1": ("TRAINER: {COOP: {CTX_INIT: Käse}}\n".encode("latin-1"), "UTF-8"),
    "noise": (bytes(range(256)) * 8, "method.yaml"),
    "truncated JSON": (b'{"OPTIM": {"LR": 0.1', "line 1"),
    "a web page": ("<!doctype html><html><body>Sign in</body></html>\n", "method.yaml"),
    "settings of another method": ("TRAINER: {MAPLE: {N_CTX: 2}}\n", "is for MaPLe"),
    "a shell script": ("#!/bin/sh\nexit 0\n", "method.yaml"),
    **not_files("method.yaml"),
    "a socket": (unix_socket, "method.yaml is a socket"),
    "a link to nothing": (link("nothing"), "method.yaml"),
    "a link to itself": (link("method.yaml"), "method.yaml"),
    "a terabyte of zeros": (sparse(2**40), "1,099,511,627,776 bytes"),
    "300 kB": ("# " + "x" * 300_000 + "\n", "300,003 bytes"),
    "20,000 keys": ("".join(f"k{n}: {n}\n" for n in range(20_000)), "k0|too many"),
    "a long key": (f"{'k' * 5000}: 1\n", "line 1"),
}
WITH = TRAIN.replace(" --config-file configs/trainers/CoOp_KDPL/demo.yaml", "")
OTHERS = {  # name: command, and what the message names
    "no arguments": ("train.py", "--trainer takes"),
    "no trainer": ("train.py --dataset-config-file configs/datasets/folder.yaml", "--trainer takes"),
    "a misspelt trainer": ("train.py --trainer CoOpKDPL", "did you mean"),
    "no dataset": ("train.py --trainer CoOp_KDPL", "DATASET.NAME"),
    "no root": (TRAIN.replace("--root $photos", ""), "--root"),
    "an empty root": (TRAIN.replace("$photos", "''"), "--root"),
    "an empty output": (TRAIN.replace("$here/out", "''"), "OUTPUT_DIR is ''"),
    "an unknown flag": (f"{TRAIN.replace('--root', '--rooot x --root')}", "--rooot|unrecognized"),
    "a seed as text": (f"{TRAIN} --seed one", "--seed"),
    "a seed as a fraction": (f"{TRAIN} --seed 1.5", "--seed"),
    "a flag without a value": ("train.py --seed", "--seed"),
    "a missing method file": (f"{WITH} --config-file configs/trainers/CoOp_KDPL/vit_b33.yaml", "did you mean|holds"),
    "a missing dataset file": (TRAIN.replace("folder.yaml", "foldr.yaml"), "did you mean 'folder.yaml'"),
    "a missing folder": (f"{WITH} --config-file /no/such/folder/demo.yaml", "/no/such/folder"),
    "a Python file as a method file": (f"{WITH} --config-file train.py", "its name must end in .yaml"),
    "a folder as a method file": (f"{WITH} --config-file configs", "configs"),
    "an empty name of a method file": (f"{WITH} --config-file ''", "--config-file|student|teacher|ViT"),
    "a sweep file as a method file": (f"{WITH} --config-file configs/sweeps/demo.yaml", "Unknown key"),
    "an invalid seed after source domains": (f"{TRAIN} --source-domains photo --seed -7000000000", "SEED"),
    "unknown transforms": (f"{TRAIN} --transforms flip OPTIM.MAX_EPOCH 1", "flip"),
    "a student that is not a CLIP": (f"{TRAIN} --backbone resnet18 OPTIM.MAX_EPOCH 1", "'resnet18'"),
    "a root that is a file": (TRAIN.replace("$photos", "$names"), "names.txt"),
    "a root that is a device": (TRAIN.replace("$photos", "/dev/null"), "/dev/null"),
    "a load epoch as text": (f"{TRAIN} --eval-only --load-epoch last", "--load-epoch"),
}
CASES = [
    Case(name, f"{WITH} --config-file $here/method.yaml", says, {"method.yaml": content})
    for name, (content, says) in FILES.items()
]
CASES += [Case(name, command, says) for name, (command, says) in OTHERS.items()]
CASES.append(
    Case("a good file with noise", f"{WITH} --config-file $here/demo.yaml", "demo.yaml", {
        "demo.yaml": lambda path, good: (path.write_bytes(open(
            "configs/trainers/CoOp_KDPL/demo.yaml", "rb").read()), garbled()(path, good))[0] and None})
)  # fmt: skip
