"""The weights of the demo pair: small files that hold a CLIP of OpenAI's layout with its table of 49,408 words.

A file keeps what was trained, in half precision. Of the table of word vectors these are a few dozen rows; the others
are those of :func:`untrained_words`, which any machine makes again, so that every word has a vector of its own.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ..atomic_files import atomic_path
from .weight_files import read_state_dict

DEMO_WEIGHTS = {  # name: file
    f"demo:{role}": Path(__file__).parents[1] / "demo" / f"{role}.safetensors" for role in ("student", "teacher")
}
N_TOKENS = 49408  # of OpenAI's tokenizer
TABLE, ROWS, TOKEN_IDS = "token_embedding.weight", "token_embedding.rows", "token_embedding.token_ids"
_SEED = 2407_03056


def untrained_words(width: int) -> Tensor:
    """The vectors that the words start from, (49408, width), float32: normal, standard deviation 0.02.

    Drawn by numpy's legacy generator, whose stream never changes, and rounded to half precision, so that the last bit
    of a machine's logarithm does not matter.
    """
    table = np.random.RandomState(_SEED).standard_normal((N_TOKENS, width)) * 0.02
    return torch.from_numpy(table.astype(np.float16).astype(np.float32))


def save_demo_weights(path: str | os.PathLike, state_dict: Mapping[str, Tensor], token_ids: Sequence[int]) -> None:
    """Write a CLIP of which ``token_ids`` are the only words that were trained."""
    kept = {key: value.to(torch.float16) if value.is_floating_point() else value for key, value in state_dict.items()}
    kept[TOKEN_IDS] = torch.tensor(token_ids, dtype=torch.int32)
    kept[ROWS] = kept.pop(TABLE)[kept[TOKEN_IDS].long()]
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({key: value.contiguous() for key, value in kept.items()}))


def load_demo_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """All tensors of the CLIP by OpenAI's names, in float32.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is cut off, or is not a file of the demo pair.
    """
    state_dict = read_state_dict(path)
    if missing := sorted({ROWS, TOKEN_IDS} - state_dict.keys()):
        raise ValueError(
            f"{path} has no {' and no '.join(missing)}, so it is not a file of the demo pair. "
            "`git checkout -- kdpl/demo` brings that back, `python -m tools.pretrain_demo` makes it again."
        )
    state_dict = {key: value.float() if value.is_floating_point() else value for key, value in state_dict.items()}
    rows = state_dict.pop(ROWS)
    table = untrained_words(rows.shape[1])
    table[state_dict.pop(TOKEN_IDS).long()] = rows
    return state_dict | {TABLE: table}
