"""The other commands: models, fetch, verify, cache, doctor, benchmark, docs, soak, and the scripts."""

from .case import DEMO, Case, Content, copy, fifo, folder, garbled, link

SCRIPT = "bash scripts/kdpl"
INSTALL = "bash scripts/install_into_coop.sh"
COOP: dict[str, Content] = {
    "coop/train.py": "import trainers.coop\n",
    "coop/trainers/coop.py": "",
    "coop/clip/clip.py": "",
}
COMMANDS: dict[str, tuple[str, str, dict[str, Content]]] = {
    "models: none": ("kdpl models vit-b-99", "'vit-b-99'", {}),
    "models: a line break": ("kdpl models 'a\nb'", "has 'a", {}),
    "fetch: nothing": ("kdpl fetch", "required", {}),
    "fetch: a name that is none": ("kdpl fetch ViT-B/33", "ViT-B/33", {}),
    "fetch: into a file": ("kdpl fetch demo:student --to $names", "names.txt", {}),
    "fetch: prompts of nobody": ("kdpl fetch prompts:$here/none", "none", {}),
    "fetch: offline": ("kdpl fetch ViT-B/32", "ViT-B", {}),
    "fetch: the vocabulary offline": ("kdpl fetch vocabulary", "could not be downloaded", {}),
    "fetch: an empty name": ("kdpl fetch ''", "No CLIP was given", {}),
    "verify: a level that is none": ("kdpl verify --level 5", "--level", {}),
    "verify: a model that is none": ("kdpl verify --level 1 --models x --output $here/r.json", "'x'", {}),
    "verify: a precision that is none": ("kdpl verify --level 1 --precision fp8 --output $here/r.json", "fp8", {}),
    "verify: a device that is none": ("kdpl verify --device tpu --output $here/r.json", "tpu", {}),
    "verify: an output that is a folder": ("kdpl verify --output $photos", "photos is a folder", {}),
    "verify: an output in /proc": ("kdpl verify --output /proc/r.json", "/proc/r.json", {}),
    "verify: pictures that are none": (
        "kdpl verify --level 1 --pictures $names --output $here/r.json",
        "names.txt",
        {},
    ),
    "cache: none": ("kdpl cache $here/none", "is not a feature cache", {}),
    "cache: a file": ("kdpl cache $names", "is not a feature cache", {}),
    "cache: photos": ("kdpl cache $photos", "is not a feature cache", {}),
    "cache: days without clearing": ("kdpl cache $here/none --unused-for 3", "none|--clear", {}),
    "cache: days as text": ("kdpl cache $here/none --unused-for long", "--unused-for", {}),
    "cache: a pipe": ("kdpl cache $here/c", "is not a feature cache", {"c": fifo}),
    "doctor: a device that is none": ("kdpl doctor --gpu --device tpu", "tpu", {}),
    "doctor: a method that is none": ("kdpl doctor --gpu --device cpu --method CoOpp", "CoOpp", {}),
    "doctor: a student that is none": ("kdpl doctor --gpu --device cpu --student x", "'x'", {}),
    "doctor: classes 0": ("kdpl doctor --gpu --device cpu --classes 0", "--classes", {}),
    "doctor: a batch of 0": ("kdpl doctor --gpu --device cpu --batch 0", "--batch", {}),
    "doctor: steps 0": ("kdpl doctor --gpu --device cpu --steps 0", "--steps", {}),
    "doctor: a precision that is none": ("kdpl doctor --gpu --device cpu --precision fp8", "fp8", {}),
    "tools.doctor: an unknown flag": ("tools.doctor --rot data", "--rot", {}),
    "benchmark: a page of nothing": ("tools.benchmark --render $here/none.json", "none.json", {}),
    "benchmark: a page of a list": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": "[]"}),
    "benchmark: a page of an empty object": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": "{}"}),
    "benchmark: a page of noise": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": bytes(range(256))}),
    "benchmark: a page of a pipe": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": fifo}),
    "benchmark: a student that is none": ("tools.benchmark --student x", "--student", {}),
    "benchmark: steps 0": ("tools.benchmark --steps 0 --json $here/b.json", "--steps", {}),
    "benchmark: classes below 0": ("tools.benchmark --classes -1 --json $here/b.json", "--classes", {}),
    "benchmark: a batch of 0": ("tools.benchmark --batch 0 --json $here/b.json", "--batch", {}),
    "benchmark: a device that is none": ("tools.benchmark --device tpu", "tpu", {}),
    "docs: a site that is a file": ("tools.docs --site $names", "names.txt", {}),
    "soak: seconds as text": ("tools.soak --seconds long", "--seconds", {}),
    "soak: an unknown flag": ("tools.soak --hours 1", "--hours", {}),
    "inputs: none": ("tools.soak.inputs --only nothing-like-this --messages $here/m.txt", "nothing-like-this", {}),
    "inputs: messages in /proc": ("tools.soak.inputs --messages /proc/m.txt", "/proc/m.txt", {}),
    "script: nothing": (f"{SCRIPT}/base2new.sh", "DATASET SEED", {}),
    "script: no seed": (f"{SCRIPT}/base2new.sh dtd", "DATASET SEED|seed", {}),
    "script: a dataset that is none": (f"{SCRIPT}/base2new.sh dtdd 1", "dtdd", {}),
    "script: a seed as text": (f"{SCRIPT}/few_shot.sh shapes one", "seed", {}),
    "script: a trainer that is none": (f"{SCRIPT}/cross_dataset.sh shapes 1 CoOpp", "CoOpp", {}),
    "script: a sweep that is none": (f"{SCRIPT}/sweep.sh $here/none.yaml", "none.yaml", {}),
    "script: a Python that is none": (
        "bash -c 'KDPL_PYTHON=/no/python bash scripts/kdpl/base2new.sh dtd 1'",
        "/no/python",
        {},
    ),
    "script: a Python that is a file": (
        "bash -c 'KDPL_PYTHON=$names bash scripts/kdpl/base2new.sh dtd 1'",
        "names.txt",
        {},
    ),
    "script: shots 0": ("bash -c 'SHOTS=0 DATA=$here OUTPUT=$here/o bash scripts/kdpl/few_shot.sh shapes 1'", "0", {}),
    "install: nothing": (INSTALL, "PATH_TO_COOP", {}),
    "install: a folder that is missing": (f"{INSTALL} $here/none", "none", {}),
    "install: a file": (f"{INSTALL} $names", "names.txt", {}),
    "install: an empty folder": (f"{INSTALL} $here/coop", "coop", {"coop": folder}),
    "install: another project": (f"{INSTALL} $here/coop", "coop", {"coop/train.py": "print('hello')\n"}),
    "install: a train.py that is a folder": (f"{INSTALL} $here/coop", "coop", {"coop/train.py": folder}),
    "install: a train.py that is a pipe": (f"{INSTALL} $here/coop --apply", "coop", COOP | {"coop/train.py": fifo}),
    "install: a train.py of noise": (
        f"{INSTALL} $here/coop --apply",
        "train.py",
        COOP | {"coop/train.py": bytes(range(256))},
    ),
    "install: two wishes": (f"{INSTALL} $here/coop --remove --apply", "--remove", COOP),
    "install: an unknown flag": (f"{INSTALL} $here/coop --aply", "--aply", COOP),
    "install: into /proc": (f"{INSTALL} /proc", "/proc", {}),
    "install: into itself": (f"{INSTALL} .", ".", {}),
}
FILES = {"v.txt": "cat\ndog\n"}
VOCABULARY: dict[str, tuple[Content, str]] = {
    "empty": ("", "contains no class names"),
    "spaces": (" \n\n", "contains no class names"),
    "one name": ("cat\n", "only 'cat'"),
    "a pipe": (fifo, "v.txt is a pipe"),
    "a folder": (folder, "v.txt is a folder"),
    "a device": (link("/dev/zero"), "v.txt is a device"),
    "a link to nothing": (link("nothing"), "v.txt"),
    "Latin-1": ("K\xe4se\nBrot\n".encode("latin-1"), "UTF-8"),
    "zero bytes": (b"cat\0dog\n", "zero byte"),
    "a CSV with an open quote": ('LabelName,DisplayName\n/m/1,"cat\n', "a quote is not closed"),
    "a CSV without names": ("LabelName,DisplayName\n", "contains no class names"),
    "a photo": (copy("photos/red_square/1.jpg"), "v.txt"),
    "noise": (garbled("names.txt"), "v.txt"),
}
CASES = [Case(name, command, says, files, codes=(1, 2)) for name, (command, says, files) in COMMANDS.items()]
CASES += [
    Case(f"a vocabulary: {name}", f"kdpl train $photos {DEMO} --vocabulary $here/v.txt --epochs 1 --output "
         "$here/p.safetensors", says, {"v.txt": content})
    for name, (content, says) in VOCABULARY.items()
]  # fmt: skip
