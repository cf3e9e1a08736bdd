"""What a file in configs/sweeps says: protocols x datasets x students x methods x settings x shots x seeds.

A file holds the keys of one :class:`Block`, or several blocks below ``blocks`` that share the keys beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kdpl.methods import METHODS
from kdpl.names import did_you_mean
from kdpl.outside import read_yaml
from kdpl.ranges import whole

from .protocols import FROM_A_SOURCE, PROTOCOLS, datasets_of, shots_of

TRAINED = ("labels", "kdpl", "kdpl_ca")
ZEROSHOT = ("zeroshot_student", "zeroshot_student_generic", "zeroshot_teacher")
SHARED = {"output", "threads"}  # said once, for all blocks
ALL_IMAGES = -1  # as a number of shots
# A sweep sets these for each run; as options they would make different runs alike, or put them into one folder.
SET_BY_THE_SWEEP = (
    "SEED", "OUTPUT_DIR", "RESUME", "TRAINER.NAME", "MODEL.BACKBONE.NAME", "DATASET.NAME", "DATASET.NUM_SHOTS",
    "DATASET.SUBSAMPLE_CLASSES", "TRAINER.KDPL.TEACHER", "TRAINER.KDPL.CLASS_AGNOSTIC",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One protocol over lists of everything else; each combination is a run.

    Attributes:
        protocol: one of PROTOCOLS.
        datasets: files in configs/datasets, without ending; trained and tested on, or with ``source`` tested on. A
            file that does not say gets those of the protocol.
        source: what is trained on by the protocols that transfer.
        students: CLIPs by name, each with its methods.
        settings: of TRAINED (with labels, from the teacher, from the teacher without class names) and ZEROSHOT (which
            go with each student, or with the teacher; "generic" says "a photo of a {}." whatever the dataset).
        seeds, shots: numbers, the protocol's where a file does not say; -1 shots are all images.
        teacher: a CLIP by name; otherwise the configuration's.
        cfgs: files in configs/trainers/<trainer> by method, where it is not the student's usual one.
        epochs: by method, where they are not the configuration's.
        options: further keys and values, as at the end of train.py's command line.
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


@dataclass(frozen=True)
class Spec:
    """A whole file.

    Attributes:
        output: folder for the results, below the repository unless it is absolute.
        threads: CPU threads of a run; 0: as many as there are for each. Sums depend on it in their last bits.
    """

    blocks: tuple[Block, ...]
    output: str = "output"
    threads: int = 0


def read_spec(file: str | Path) -> Spec:
    """Read and check a file.

    Raises:
        FileNotFoundError: if there is none; those beside it are listed.
        ValueError: if it is no YAML, or says something unknown; what is possible is listed.
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
    """The checked form of what a file holds.

    Raises:
        ValueError: as :func:`read_spec`.
    """
    _check_mapping(content, "the file")
    common = {key: value for key, value in content.items() if key not in SHARED | {"blocks"}}
    blocks = content.get("blocks", [{}])
    if not isinstance(blocks, list) or not blocks:
        raise ValueError(f"blocks is {blocks!r}; it is a list of blocks, each with a protocol.")
    for block in blocks:
        _check_mapping(block, "a block")
    output, threads = content.get("output", "output"), content.get("threads", 0)
    if not isinstance(output, str) or not output:
        raise ValueError(f"output is {output!r}; it is a folder.")
    whole(0, 1024, meaning="CPU threads, 0 for all there are").check("threads", threads)
    return Spec(tuple(_block(common | block) for block in blocks), output, threads)


def _block(content: Mapping[str, Any]) -> Block:
    known = [f.name for f in fields(Block)]
    _one_of(content, known, "key")
    for key in ("protocol", "students", "settings", *(key for key in ("datasets",) if key in content)):
        if not content.get(key):
            raise ValueError(f"There is no {key}. A block has {', '.join(known)}.")
    protocol = content["protocol"]
    _one_of([protocol], PROTOCOLS, "protocol")
    transfers = protocol in FROM_A_SOURCE
    if transfers != bool(content.get("source")):
        raise ValueError(f"{protocol} needs a source." if transfers else f"{protocol} has no source: remove it.")
    source = _name(content.get("source") or "", "source")
    students = content["students"]
    _check_mapping(students, "students")
    students = {_name(name, "students"): _list(methods, f"students: {name}", str) for name, methods in students.items()}
    for methods in students.values():
        _one_of(methods, METHODS, "method")
    mappings = {key: content.get(key) or {} for key in ("cfgs", "epochs", "options")}
    for key, mapping in mappings.items():
        _check_mapping(mapping, key)
    for key in ("cfgs", "epochs"):
        _one_of(mappings[key], METHODS, f"method in {key}")
    for method, cfg in mappings["cfgs"].items():
        _name(cfg, f"cfgs: {method}")
    for method, epochs in mappings["epochs"].items():
        if type(epochs) is not int or epochs < 1:
            raise ValueError(f"epochs: {method} is {epochs!r}; it is a number of epochs, at least 1.")
    for key in mappings["options"]:
        if key in SET_BY_THE_SWEEP:
            raise ValueError(f"options has {key}, which a sweep sets for each run. A block has {', '.join(known)}.")
    return Block(
        protocol=protocol,
        datasets=_list(content.get("datasets") or datasets_of(protocol, source), "datasets", str),
        students=students,
        settings=_one_of(_list(content["settings"], "settings", str), TRAINED + ZEROSHOT, "setting"),
        seeds=_numbers(content.get("seeds", Block.seeds), "seeds", 0),
        shots=_numbers(content.get("shots", shots_of(protocol)), "shots", 1, ALL_IMAGES),
        source=source,
        teacher=_name(content.get("teacher") or "", "teacher"),
        **mappings,
    )


def _check_mapping(value: Any, what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {value!r}; it is a list of `key: value`.")


def _list(value: Any, what: str, kind: type) -> tuple:
    """The values of a list, or the only value; each once."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    strangers = [x for x in values if not isinstance(x, kind) or isinstance(x, bool)]
    if strangers or not values:
        name = {str: "names", int: "numbers"}[kind]
        raise ValueError(f"{what} is {value!r}; it is a list of {name}, and not empty.")
    return tuple(dict.fromkeys(values))


def _numbers(value: Any, what: str, least: int, *others: int) -> tuple[int, ...]:
    """As :func:`_list`; none below ``least`` but ``others``."""
    numbers = _list(value, what, int)
    for number in numbers:
        if number < least and number not in others:
            also = "".join(f", or {other}" for other in others)
            raise ValueError(f"{what} has {number}; each is {least} or more{also}.")
    return numbers


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} has {value!r}; it takes one name as text, a number in quotes.")
    return value


def _one_of(values: Iterable[str], known: Sequence[str], kind: str) -> Any:
    for value in values:
        if value not in known:
            close = did_you_mean(str(value), list(known))
            raise ValueError(f"There is no {kind} {value!r}{close}; choose from {', '.join(known)}.")
    return values
