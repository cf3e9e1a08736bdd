"""Outputs that cannot be written, including standard output, and processes with too few resources."""

from .case import DEMO, TRAIN, Case, Content, copy, fifo, folder, link

SHORT = "OPTIM.MAX_EPOCH 1 DATALOADER.NUM_WORKERS 0"
PLACES = {  # name: path of an output folder
    "a file": "$names",
    "a folder in a file": "$names/out",
    "a device": "/dev/null",
    "a folder in a device": "/dev/null/out",
    "/proc": "/proc/out",
    "/sys": "/sys/out",
    "a pipe": "$here/pipe",
    "a broken link": "$here/nothing/out",
    "a link to itself": "$here/circle/out",
    "a name of 300 letters": f"$here/{'a' * 300}",
    "5,000 letters": f"$here/{'/'.join(['a' * 100] * 50)}",
}
FILES: dict[str, Content] = {"pipe": fifo, "nothing": link("/proc/none"), "circle": link("circle")}
WRITTEN: dict[str, Content] = {  # things in the way of files and folders that training writes
    "log.txt": folder,
    "results.json": folder,
    "resume.pth": folder,
    "prompts.safetensors": folder,
    "prompt_learner": "x",
    "tensorboard": "x",
    ".writer": folder,
}


def named_in(place: str) -> str:
    """What a message about this path must contain: any one of its parts."""
    return "|".join(part.strip("$")[:30] for part in place.split("/")[1:] or [place])


CASES = [
    Case(f"train.py into {name}", f"{TRAIN.replace('$here/out', place)} {SHORT}", named_in(place), FILES)
    for name, place in PLACES.items()
]  # fmt: skip
CASES += [
    Case(f"kdpl train into {name}", f"kdpl train $photos {DEMO} --classnames $names --epochs 1 --output "
         f"{place}/p.safetensors", named_in(place), FILES)
    for name, place in PLACES.items()
]  # fmt: skip
CASES += [
    Case(f"predict into {name}", f"kdpl predict $prompts $photos --output {place}/t.csv", named_in(place),
         FILES)
    for name, place in PLACES.items()
]  # fmt: skip
CASES += [
    Case(f"train.py, {name} of the wrong kind", f"{TRAIN} {SHORT}", name, {f"out/{name}": content}, codes=(0, 2))
    for name, content in WRITTEN.items()
]
for name, command in {
    "show": "-m kdpl show $prompts",
    "models": "-m kdpl models",
    "predict": "-m kdpl predict $prompts $photos",
    "words": "-m kdpl words $prompts",
    "tables": "-m tools.tables $run --format csv",
    "a dry run": "-m tools.sweep configs/sweeps/demo.yaml --dry-run --output $here/out",
    "data list": "-m tools.data list",
    "doctor": "-m tools.doctor",
    "train.py": f"{TRAIN} {SHORT}",
}.items():
    for what, redirection, codes in (
        ("full", "> /dev/full", (2,)),
        ("closed", ">&-", (0, 1, 2)),
        ("without a reader", "| true", (0, 1, 2)),
    ):
        CASES.append(
            Case(f"standard output of {name}, {what}", f'bash -c "set -o pipefail; $PYTHON {command} {redirection}"',
                 "standard output|closed|No space" if what == "full" else "", {}, codes)
        )  # fmt: skip
for name, limit, says in (
    ("files of 2 kB", "ulimit -f 2", "File too large|limit"),
    ("16 open files", "ulimit -n 16", ""),
    ("1 GB of address space", "ulimit -v 1000000", "memory|allocate|limits"),
):
    CASES.append(Case(f"train.py with {name}", f'bash -c "{limit}; $PYTHON {TRAIN} {SHORT}"', says, codes=(0, 1, 2)))
CASES.append(Case("the folder of another run", f"{TRAIN.replace('$here/out', '$here/run')} {SHORT}",
                  "other settings|results.json", {"run": copy("run")}))  # fmt: skip
