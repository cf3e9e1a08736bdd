"""The default configuration."""

import ast
import copy
from functools import cache
from pathlib import Path

import yaml
from yacs.config import CfgNode


def get_cfg_default() -> CfgNode:
    """A new configuration with every key at its default."""
    return CfgNode(copy.deepcopy(_defaults()))


@cache
def _defaults() -> dict:
    return _with_tuples(yaml.safe_load(Path(__file__).with_name("defaults.yaml").read_text(encoding="utf-8")))


def _with_tuples(value: object) -> object:
    """Values read from YAML, with strings in round brackets converted to tuples."""
    if isinstance(value, dict):
        return {key: _with_tuples(one) for key, one in value.items()}
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("(") else value
