"""Which settings of a configuration count: for the prompts, and for telling two runs apart."""

import json
from functools import cache

from dassl.config import get_cfg_default

from .config import extend_cfg, plain_config

NO_INFLUENCE = {  # on the prompts
    "OUTPUT_DIR",
    "RESUME",
    "VERBOSE",
    "USE_CUDA",
    "DATASET.ROOT",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "TRAIN.CHECKPOINT_FREQ",
}


def settings_of(config: dict) -> dict[str, object]:
    """The settings of a configuration that prompts depend on, by dotted key, as they look when read from JSON."""
    settings = {key: value for key, value in _flat(config).items() if key not in NO_INFLUENCE}
    return json.loads(json.dumps(settings))  # tuples become lists, as in a file


@cache
def default_settings() -> dict[str, object]:
    """What a key has that a configuration does not name."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return settings_of(plain_config(cfg))


def _flat(node: dict, path: str = "") -> dict[str, object]:
    flat = {}
    for key, value in node.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat
