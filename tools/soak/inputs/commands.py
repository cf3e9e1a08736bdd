"""Invalid arguments of other commands: models, fetch, verify, cache, doctor, benchmark, docs, soak, and scripts."""

from .case import DEMO, Case, Content, copy, fifo, folder, garbled, link, not_files

SCRIPT = "bash scripts/kdpl"
INSTALL = "bash scripts/install_into_coop.sh"
COOP: dict[str, Content] = {
    "coop/train.py": "import trainers.coop\n",
    "coop/trainers/coop.py": "",
    "coop/clip/clip.py": "",
}
COMMANDS: dict[str, tuple[str, str, dict[str, Content]]] = {
    "models: an unknown name": ("kdpl models vit-b-99", "'vit-b-99'", {}),
    "models: a line break": ("kdpl models 'a\nb'", "has 'a", {}),
    "fetch: nothing": ("kdpl fetch", "required", {}),
    "fetch: an unknown name": ("kdpl fetch ViT-B/33", "ViT-B/33", {}),
    "fetch: into a file": ("kdpl fetch demo:student --to $names", "names.txt", {}),
    "fetch: missing prompts": ("kdpl fetch prompts:$here/none", "none", {}),
    "fetch: offline": ("kdpl fetch ViT-B/32", "ViT-B", {}),
    "fetch: the vocabulary offline": ("kdpl fetch vocabulary", "could not be downloaded", {}),
    "fetch: an empty name": ("kdpl fetch ''", "No CLIP was given", {}),
    "verify: an unknown level": ("kdpl verify --level 5", "--level", {}),
    "verify: an unknown model": ("kdpl verify --level 1 --models x --output $here/r.json", "'x'", {}),
    "verify: an unknown precision": ("kdpl verify --level 1 --precision fp8 --output $here/r.json", "fp8", {}),
    "verify: an unknown device": ("kdpl verify --device tpu --output $here/r.json", "tpu", {}),
    "verify: an output that is a folder": ("kdpl verify --output $photos", "photos is a folder", {}),
    "verify: an output in /proc": ("kdpl verify --output /proc/r.json", "/proc/r.json", {}),
    "verify: a file as the picture folder": (
        "kdpl verify --level 1 --pictures $names --output $here/r.json",
        "names.txt",
        {},
    ),
    "cache: a missing folder": ("kdpl cache $here/none", "is not a feature cache", {}),
    "cache: a file": ("kdpl cache $names", "is not a feature cache", {}),
    "cache: a folder of photos": ("kdpl cache $photos", "is not a feature cache", {}),
    "cache: --unused-for without --clear": ("kdpl cache $here/none --unused-for 3", "none|--clear", {}),
    "cache: --unused-for as text": ("kdpl cache $here/none --unused-for long", "--unused-for", {}),
    "cache: a pipe": ("kdpl cache $here/c", "is not a feature cache", {"c": fifo}),
    "doctor: an unknown device": ("kdpl doctor --gpu --device tpu", "tpu", {}),
    "doctor: an unknown method": ("kdpl doctor --gpu --device cpu --method CoOpp", "CoOpp", {}),
    "doctor: an unknown student": ("kdpl doctor --gpu --device cpu --student x", "'x'", {}),
    "doctor: classes 0": ("kdpl doctor --gpu --device cpu --classes 0", "--classes", {}),
    "doctor: a batch size of 0": ("kdpl doctor --gpu --device cpu --batch 0", "--batch", {}),
    "doctor: steps 0": ("kdpl doctor --gpu --device cpu --steps 0", "--steps", {}),
    "doctor: an unknown precision": ("kdpl doctor --gpu --device cpu --precision fp8", "fp8", {}),
    "tools.doctor: an unknown flag": ("tools.doctor --rot data", "--rot", {}),
    "benchmark: a missing file": ("tools.benchmark --render $here/none.json", "none.json", {}),
    "benchmark: a file with a list": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": "[]"}),
    "benchmark: a file with an empty object": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": "{}"}),
    "benchmark: a file of noise": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": bytes(range(256))}),
    "benchmark: a pipe": ("tools.benchmark --render $here/b.json", "b.json", {"b.json": fifo}),
    "benchmark: an unknown student": ("tools.benchmark --student x", "--student", {}),
    "benchmark: steps 0": ("tools.benchmark --steps 0 --json $here/b.json", "--steps", {}),
    "benchmark: negative classes": ("tools.benchmark --classes -1 --json $here/b.json", "--classes", {}),
    "benchmark: a batch size of 0": ("tools.benchmark --batch 0 --json $here/b.json", "--batch", {}),
    "benchmark: an unknown device": ("tools.benchmark --device tpu", "tpu", {}),
    "docs: a site that is a file": ("tools.docs --site $names", "names.txt", {}),
    "soak: seconds as text": ("tools.soak --seconds long", "--seconds", {}),
    "soak: an unknown flag": ("tools.soak --hours 1", "--hours", {}),
    "inputs: no match": ("tools.soak.inputs --only nothing-like-this --messages $here/m.txt", "nothing-like-this", {}),
    "inputs: messages in /proc": ("tools.soak.inputs --messages /proc/m.txt", "/proc/m.txt", {}),
    "script: nothing": (f"{SCRIPT}/base2new.sh", "DATASET SEED", {}),
    "script: no seed": (f"{SCRIPT}/base2new.sh dtd", "DATASET SEED|seed", {}),
    "script: an unknown dataset": (f"{SCRIPT}/base2new.sh dtdd 1", "dtdd", {}),
    "script: a seed as text": (f"{SCRIPT}/few_shot.sh shapes one", "seed", {}),
    "script: an unknown trainer": (f"{SCRIPT}/cross_dataset.sh shapes 1 CoOpp", "CoOpp", {}),
    "script: a missing sweep": (f"{SCRIPT}/sweep.sh $here/none.yaml", "none.yaml", {}),
    "script: a missing Python": (
        "bash -c 'KDPL_PYTHON=/no/python bash scripts/kdpl/base2new.sh dtd 1'",
        "/no/python",
        {},
    ),
    "script: a Python that is a text file": (
        "bash -c 'KDPL_PYTHON=$names bash scripts/kdpl/base2new.sh dtd 1'",
        "names.txt",
        {},
    ),
    "script: shots 0": ("bash -c 'SHOTS=0 DATA=$here OUTPUT=$here/o bash scripts/kdpl/few_shot.sh shapes 1'", "0", {}),
    "install: nothing": (INSTALL, "PATH_TO_COOP", {}),
    "install: a missing folder": (f"{INSTALL} $here/none", "none", {}),
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
    "install: --remove with --apply": (f"{INSTALL} $here/coop --remove --apply", "--remove", COOP),
    "install: an unknown flag": (f"{INSTALL} $here/coop --aply", "--aply", COOP),
    "install: into /proc": (f"{INSTALL} /proc", "/proc", {}),
    "install: into itself": (f"{INSTALL} .", ".", {}),
}
FILES = {"v.txt": "cat\ndog\n"}
VOCABULARY: dict[str, tuple[Content, str]] = {
    "empty": ("", "contains no class names"),
    "spaces": (" \n\n", "contains no class names"),
    "a single name": ("cat\n", "only 'cat'"),
    **not_files("v.txt"),
    "a broken link": (link("nothing"), "v.txt"),
    "Latin-1": ("K\xe4se\nBrot\n".encode("latin-1"), "UTF-8"),
    "zero bytes": (b"cat\0dog\n", "zero byte"),
    "a CSV with an unclosed quote": ('LabelName,DisplayName\n/m/1,"cat\n', "a quote is not closed"),
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
