"""Descriptions of the towers of open_clip's models."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .towers import TextTower, Towers, VisionTower

LAST, END = "last", ("argmax", "eos")  # open_clip's names for the token whose output is the text feature


def open_clip_towers(model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> Towers:
    """The towers of open_clip's ``CLIP``, ``CustomTextCLIP`` or ``CoCa``.

    The text towers of Hugging Face and CoCa, and ResNet and timm image towers, take no prompts and have only encoders.
    """
    return Towers(_text_tower(model, tokenize), _vision_tower(model.visual), model.encode_text, model.encode_image)


def _text_tower(model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> TextTower | None:
    tower = getattr(model, "text", model)  # a plain CLIP holds the modules of its text tower directly
    pool = getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None)
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    plain = _are_plain(blocks) and getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
    if not plain or pool not in (LAST, *END):
        return None
    n_start, end_token = _start_and_end(tokenize)
    end_of_text = partial(_end_of_text, n_start=n_start, end_token=end_token)
    if pool in END:
        tokens = tokenize(["a photo of a dog."])
        eos_id = tower.eos_id if hasattr(tower, "eos_id") else tower.text_eos_id
        read = tokens.argmax(-1) if pool == "argmax" else (tokens == eos_id).int().argmax(-1)
        if not torch.equal(read, end_of_text(tokens)):
            return None  # the tokenizer belongs to another model, so the position that the tower reads is unknown
    return TextTower(
        tokenize=tokenize,
        end_of_text=end_of_text,
        embedding=tower.token_embedding,
        positions=tower.positional_embedding,
        blocks=blocks,
        ln_final=tower.ln_final,
        projection=tower.text_projection,
        n_start=n_start,
        causal=tower.attn_mask is not None,
        reads_end=pool in END,
    )


def _vision_tower(visual: nn.Module) -> VisionTower | None:
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", ())
    if not _are_plain(blocks) or visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        return None
    return VisionTower(
        patches=visual.conv1,
        class_embedding=visual.class_embedding,
        positions=visual.positional_embedding,
        ln_pre=visual.ln_pre,
        blocks=blocks,
        ln_post=visual.ln_post,
        projection=visual.proj,
        averages=visual.pool_type == "avg",
        norm_after_mean=visual.final_ln_after_pool,
    )


def _are_plain(blocks: nn.ModuleList) -> bool:
    """Whether there are blocks that all compute the same as :func:`kdpl.clip.towers.project` and ``finish``."""
    return len(blocks) > 0 and all(
        isinstance(getattr(block, "attn", None), nn.MultiheadAttention) and not hasattr(block, "ln_1_kv")
        for block in blocks
    )


def _start_and_end(tokenize: Callable[[list[str]], Tensor]) -> tuple[int, int]:
    """Number of tokens before the words, and the token that follows the last word: end of text, or padding."""
    empty, word = tokenize(["", "photo"])
    n_start = int((empty != word).int().argmax())
    return n_start, int(empty[n_start])


def _end_of_text(tokens: Tensor, n_start: int, end_token: int) -> Tensor:
    """(n, context_length) token ids -> (n,), the first position after the words."""
    return n_start + (tokens[:, n_start:] == end_token).int().argmax(dim=-1)
