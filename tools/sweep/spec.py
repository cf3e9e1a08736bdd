"""Sweep files: protocols x datasets x students x methods x settings x shots x seeds.

A file holds the keys of one :class:`Block`, or several blocks under ``blocks`` that share the keys next to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kdpl.methods import METHODS
from kdpl.names import check_known
from kdpl.outside import read_yaml
from kdpl.ranges import LARGEST, Range, check_all, several, text, whole

from .protocols import FROM_A_SOURCE, PROTOCOLS, datasets_of, shots_of

TRAINED = ("labels", "kdpl", "kdpl_ca")
ZEROSHOT = ("zeroshot_student", "zeroshot_student_generic", "zeroshot_teacher")
ALL_IMAGES = -1  # as a number of shots
# A sweep sets these for each run; as options they would make different runs identical, or put them in one folder.
SET_BY_THE_SWEEP = (
    "SEED", "OUTPUT_DIR", "RESUME", "TRAINER.NAME", "MODEL.BACKBONE.NAME", "DATASET.NAME", "DATASET.NUM_SHOTS",
    "DATASET.SUBSAMPLE_CLASSES", "TRAINER.KDPL.TEACHER", "TRAINER.KDPL.CLASS_AGNOSTIC",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One protocol over lists of everything else; each combination is a run.

    Attributes:
        protocol: one of PROTOCOLS.
        datasets: files in configs/datasets, without their ending: trained and tested on or, with a ``source``, only
            tested on. By default those of the protocol.
        source: the dataset to train on, for protocols that transfer.
        students: the methods to train for each CLIP.
        settings: of TRAINED (with labels, with the teacher, with the teacher but no class names) and ZEROSHOT (the
            student or the teacher; "generic" uses "a photo of a {}." whatever the dataset).
        seeds: by default 1, 2 and 3.
        shots: images per class, by default those of the protocol; -1 means all images.
        teacher: a CLIP; by default that of the configuration.
        cfgs: per method, a file in configs/trainers/<trainer> in place of the student's usual one.
        epochs: per method, in place of the configuration's.
        options: further keys and values, as at the end of train.py's command line.
        variant: a name for these options in the folders of trained prompts, so that blocks may differ in them.
    """

    protocol: str
    datasets: tuple[str, ...]
    students: Mapping[str, tuple[str, ...]]
    settings: tuple[str, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    shots: tuple[int, ...] = (16,)
    source: str = ""
    teacher: str = ""
    cfgs: Mapping[str, str] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""


@dataclass(frozen=True)
class Spec:
    """A whole file.

    Attributes:
        output: folder for the results, relative to the repository unless it is absolute.
        threads: CPU threads per run, on which the last bits of sums depend; 0: an equal share of this machine's cores,
            or one on a cluster.
    """

    blocks: tuple[Block, ...]
    output: str = "output"
    threads: int = 0


NAME = text(empty=False)
MAPPING = Range("`key: value` pairs", lambda value: isinstance(value, dict))
BLOCKS = Range("a list of blocks, each with a protocol", lambda value: isinstance(value, list) and bool(value))


def _nonempty(each: Range) -> Range:
    values = several(each)
    return Range(f"one value or a list of them, each {each.words}", lambda value: bool(value) and values.holds(value))


OF_A_FILE = {"output": NAME, "threads": whole(0, 1024, meaning="CPU threads; 0 for all there are")}
OF_A_BLOCK = {
    "protocol": NAME,
    "datasets": _nonempty(NAME),
    "students": MAPPING,
    "settings": _nonempty(NAME),
    "seeds": _nonempty(whole(0)),
    "shots": _nonempty(whole(1, LARGEST, ALL_IMAGES)),
    "source": NAME,
    "teacher": NAME,
    "cfgs": MAPPING,
    "epochs": MAPPING,
    "options": MAPPING,
    "variant": NAME,
}
LISTS = ("datasets", "settings", "seeds", "shots")


def read_spec(file: str | Path) -> Spec:
    """Read and check a file.

    Raises:
        FileNotFoundError: if it does not exist; the message lists the YAML files in its folder.
        ValueError: if it is not YAML or contains something unknown; the message lists the alternatives.
    """
    path = Path(file)
    if not path.exists():
        others = ", ".join(sorted(other.name for other in path.parent.glob("*.yaml"))) or "no YAML file"
        raise FileNotFoundError(f"There is no sweep {file}; {path.parent} holds {others}.")
    content = read_yaml(path, "YAML file of a sweep")
    try:
        return parse_spec(content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def parse_spec(content: Any) -> Spec:
    """Check the content of a file; raises as :func:`read_spec` does."""
    MAPPING.check("the file", content)
    blocks = content.get("blocks", [{}])
    BLOCKS.check("blocks", blocks)
    for block in blocks:
        MAPPING.check("a block", block)
    common = {key: value for key, value in content.items() if key not in (*OF_A_FILE, "blocks")}
    own = {key: content[key] for key in OF_A_FILE if key in content}
    check_all(own, OF_A_FILE, {})
    return Spec(tuple(_block(common | block) for block in blocks), **own)


def _block(content: Mapping[str, Any]) -> Block:
    known = [f.name for f in fields(Block)]
    for key in content:
        check_known(key, known, "key", "a block")
    given = {key: value for key, value in content.items() if value not in (None, "")}
    given |= {key: _listed(given[key]) for key in LISTS if key in given}
    check_all(given, OF_A_BLOCK, {})
    for key in ("protocol", "students", "settings"):
        if not given.get(key):
            raise ValueError(f"There is no {key}. A block takes {', '.join(known)}.")
    protocol, source = given["protocol"], given.get("source", "")
    check_known(protocol, PROTOCOLS, "protocol", "protocol")
    transfers = protocol in FROM_A_SOURCE
    if transfers != bool(source):
        raise ValueError(f"{protocol} needs a source." if transfers else f"{protocol} has no source: remove it.")
    for setting in given["settings"]:
        check_known(setting, TRAINED + ZEROSHOT, "setting", "settings")
    for student, methods in given["students"].items():
        NAME.check("the name of a student", student)
        for method in _listed(methods):
            check_known(str(method), METHODS, "method", f"students: {student}")
    for key, values in (("cfgs", NAME), ("epochs", whole(1))):
        for method, value in given.get(key, {}).items():
            check_known(str(method), METHODS, "method", key)
            values.check(f"{key}: {method}", value)
    for key in given.get("options", {}):
        if key in SET_BY_THE_SWEEP:
            raise ValueError(f"options has {key}, which a sweep sets for each run. A block takes {', '.join(known)}.")
    given.setdefault("shots", shots_of(protocol))
    if "datasets" not in given:
        given["datasets"] = datasets_of(protocol, source)
    given |= {key: _once(given[key]) for key in LISTS if key in given}
    given["students"] = {student: _once(_listed(methods)) for student, methods in given["students"].items()}
    return Block(**given)


def _listed(value: Any) -> tuple:
    """The values of a list, or a single value, as a tuple."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _once(values: tuple) -> tuple:
    return tuple(dict.fromkeys(values))
