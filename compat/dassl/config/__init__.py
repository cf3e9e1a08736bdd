"""The configuration that every run starts from."""

import ast
import copy
from functools import cache
from pathlib import Path

import yaml
from yacs.config import CfgNode


def get_cfg_default() -> CfgNode:
    """A fresh configuration with every key at its default."""
    return CfgNode(copy.deepcopy(_defaults()))


@cache
def _defaults() -> dict:
    return _with_tuples(yaml.safe_load(Path(__file__).with_name("defaults.yaml").read_text(encoding="utf-8")))


def _with_tuples(value: object) -> object:
    """What YAML reads, with tuples for texts in round brackets."""
    if isinstance(value, dict):
        return {key: _with_tuples(one) for key, one in value.items()}
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("(") else value
