"""The configuration of a run, from files, flags and KEY VALUE pairs; whatever is unknown is refused by name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from dassl.config import get_cfg_default
from yacs.config import CfgNode

from kdpl.clip.device import n_cores
from kdpl.names import did_you_mean
from kdpl.settings import flat

from .config import extend_cfg

MOST_WORKERS = 16  # each keeps decoded images in memory; a GPU is not waiting for more


def build_cfg(files: Iterable[str], settings: Mapping[str, object], pairs: Sequence[str] = ()) -> CfgNode:
    """The frozen configuration: defaults, then files, then settings, then pairs; what comes later wins.

    By default as many workers load images as this process has cores.

    Args:
        files: YAML files.
        settings: key to value, such as {"DATASET.ROOT": "data"}; taken as they are.
        pairs: KEY VALUE KEY VALUE ... as text.

    Raises:
        FileNotFoundError, ValueError: as :func:`merge_file` and :func:`merge_pairs`.
    """
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.DATALOADER.NUM_WORKERS = min(MOST_WORKERS, n_cores())
    for file in files:
        merge_file(cfg, file)
    for key, value in settings.items():
        node, _, name = key.rpartition(".")
        get_node(cfg, node)[name] = value
    merge_pairs(cfg, pairs)
    cfg.freeze()
    return cfg


def merge_file(cfg: CfgNode, file: str) -> None:
    """Merge a YAML file.

    Raises:
        FileNotFoundError: if there is none; what its folder holds is listed.
        ValueError: if it is not YAML, has unknown keys, or values of another type than the defaults'.
    """
    path = Path(file)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.yaml"))
        found = f"{path.parent} holds {', '.join(others)}" if others else f"there are no YAML files in {path.parent}"
        raise FileNotFoundError(f"No configuration file {file}{did_you_mean(path.name, others)}; {found}.")
    try:
        with open(path, encoding="utf-8") as stream:
            node = CfgNode.load_cfg(stream)
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, AssertionError) as error:  # of yacs: not a mapping
        raise ValueError(f"{file} is not a YAML file of settings: {error}") from error
    check_keys(cfg, flat(node), file)
    try:
        cfg.merge_from_other_cfg(node)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


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
        try:
            cfg.merge_from_list([key, value])
        except ValueError as error:
            raise ValueError(f"{key} cannot be {value!r}: {error}") from error


def check_keys(cfg: CfgNode, keys: Iterable[str], where: str) -> None:
    """Refuse a key that does not exist; the closest ones and those beside it are listed."""
    known = list(flat(cfg))
    nodes = {key.rpartition(".")[0] for key in known}
    for key in keys:
        if key in known or key in nodes:
            continue
        node = key.rpartition(".")[0]
        listed = f"{node} has {', '.join(get_node(cfg, node))}" if node in nodes else f"there are {', '.join(cfg)}"
        raise ValueError(f"Unknown key {key!r} in {where}{did_you_mean(key, known)}; {listed}.")


def get_node(cfg: CfgNode, path: str) -> CfgNode:
    """The node that a dotted path names; empty: the root."""
    for key in filter(None, path.split(".")):
        cfg = cfg[key]
    return cfg
