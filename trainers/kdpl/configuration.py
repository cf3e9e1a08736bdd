"""Building a run's configuration from files, flags and KEY VALUE pairs, with errors for anything unknown."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dassl.config import get_cfg_default
from yacs.config import CfgNode

from kdpl.dassl_ranges import MOST_WORKERS, n_cores
from kdpl.methods import METHODS
from kdpl.names import did_you_mean
from kdpl.outside import read_yaml
from kdpl.ranges import check_all
from kdpl.settings import check_keys, flat, get_node, merge_value

from .config import RANGES, extend_cfg


def build_cfg(files: Iterable[str], settings: Mapping[str, object], pairs: Sequence[str] = ()) -> CfgNode:
    """Build the frozen configuration from defaults, files, settings and pairs; later values override earlier ones.

    By default there are as many loader processes as cores available to this process.

    Args:
        files: YAML files.
        settings: values by key, such as {"DATASET.ROOT": "data"}.
        pairs: KEY VALUE KEY VALUE ... as text.

    Raises:
        FileNotFoundError, ValueError: as :func:`merge_file` and :func:`merge_pairs`, or if a value is out of range, or
            a file belongs to another method than the trainer.
    """
    cfg = get_cfg_default()
    extend_cfg(cfg)
    defaults = flat(cfg)
    cfg.DATALOADER.NUM_WORKERS = min(MOST_WORKERS, n_cores())
    methods = {file: merge_file(cfg, file) for file in files}
    for key, value in settings.items():
        get_node(cfg, key.rpartition(".")[0])[key.rpartition(".")[2]] = value
    merge_pairs(cfg, pairs)
    check_all(flat(cfg), RANGES, defaults)
    method = cfg.TRAINER.NAME.removesuffix("_KDPL")
    for file, named in methods.items():
        if len(named) == 1 and method in METHODS and method not in named:  # a file for several fits any trainer
            another = f"{named.pop()}, but the trainer is {cfg.TRAINER.NAME}"
            raise ValueError(f"{file} is for {another}. Use a file in configs/trainers/{cfg.TRAINER.NAME}.")
    cfg.freeze()
    return cfg


def merge_file(cfg: CfgNode, file: str) -> set[str]:
    """Merge a YAML file; returns the methods that it is for, judging by its keys or else its folder.

    Raises:
        FileNotFoundError: if it does not exist, listing the files in its folder.
        ValueError: if it is not YAML, or has unknown keys or values of the wrong type.
    """
    path = Path(file)
    if not path.exists() and not path.is_symlink():  # the reader reports broken links
        others = sorted(other.name for other in path.parent.glob("*.yaml"))
        found = f"{path.parent} contains {', '.join(others) or 'no YAML files'}"
        raise FileNotFoundError(f"There is no configuration {file}{did_you_mean(path.name, others)}; {found}.")
    values = flat(read_yaml(path))
    check_keys(cfg, values, file)
    for key, value in values.items():
        merge_value(cfg, key, value, RANGES, f"{file}: ")
    nodes = {key.split(".")[1] for key in values if key.startswith("TRAINER.")}
    folder = path.absolute().parent.name.removesuffix("_KDPL")
    return {name for name, method in METHODS.items() if method.node in nodes} or {folder} & METHODS.keys()


def merge_pairs(cfg: CfgNode, pairs: Sequence[str]) -> None:
    """Merge trailing KEY VALUE pairs.

    Raises:
        ValueError: if a key is unknown, or a value is missing or of the wrong type.
    """
    where = "the KEY VALUE pairs at the end of the command line"
    flags = [part for part in pairs if part.startswith("--")]
    if flags:
        raise ValueError(f"{flags[0]} is among {where}; flags must come before them.")
    check_keys(cfg, pairs[::2], where)
    if len(pairs) % 2:
        raise ValueError(f"{pairs[-1]} has no value in {where}: {' '.join(pairs)}")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        merge_value(cfg, key, value, RANGES)
