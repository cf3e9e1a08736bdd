"""The configuration of a run, from files, flags and KEY VALUE pairs; whatever is unknown is refused by name."""

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
    """The frozen configuration: defaults, then files, then settings, then pairs; what comes later wins.

    By default as many workers load images as this process has cores.

    Args:
        files: YAML files.
        settings: key to value, such as {"DATASET.ROOT": "data"}; taken as they are.
        pairs: KEY VALUE KEY VALUE ... as text.

    Raises:
        FileNotFoundError, ValueError: as :func:`merge_file` and :func:`merge_pairs`; if a value is not in the range of
            its setting, or a file is of another method than the trainer.
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
        if len(named) == 1 and method in METHODS and method not in named:  # a file for several says nothing of others
            another = f"{named.pop()}, and the trainer is {cfg.TRAINER.NAME}"
            raise ValueError(f"{file} is for {another}. Take one of configs/trainers/{cfg.TRAINER.NAME}.")
    cfg.freeze()
    return cfg


def merge_file(cfg: CfgNode, file: str) -> set[str]:
    """Merge a YAML file; returns the methods that it is for, going by its keys and, without any, by its folder.

    Raises:
        FileNotFoundError: if there is none; what its folder holds is listed.
        ValueError: if it is not YAML, has unknown keys, or values of another type than the defaults'.
    """
    path = Path(file)
    if not path.exists() and not path.is_symlink():  # of a link to nothing the reader tells
        others = sorted(other.name for other in path.parent.glob("*.yaml"))
        found = f"{path.parent} holds {', '.join(others)}" if others else f"there are no YAML files in {path.parent}"
        raise FileNotFoundError(f"No configuration file {file}{did_you_mean(path.name, others)}; {found}.")
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
        ValueError: if a key is unknown, a value is missing or of another type than the default's.
    """
    where = "the KEY VALUE pairs at the end of the command line"
    flags = [part for part in pairs if part.startswith("--")]
    if flags:
        raise ValueError(f"{flags[0]} stands among {where}; flags come before them.")
    check_keys(cfg, pairs[::2], where)
    if len(pairs) % 2:
        raise ValueError(f"{pairs[-1]} has no value in {where}: {' '.join(pairs)}")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        merge_value(cfg, key, value, RANGES)
