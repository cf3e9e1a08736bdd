"""Measurements with many classes."""

import torch
from torch import Tensor

from kdpl.measuring.memory import peak_bytes
from kdpl.measuring.random_clips import kept_clip
from kdpl.prompts import CoOpPromptLearner
from kdpl.prompts.prompted_clip import PromptedCLIP

from .setting import Row, Setting, compared

# How many class names of Open Images V7 have one, two, three, ... tokens of CLIP's tokenizer.
NAMES_BY_LENGTH = (3054, 8306, 4876, 2438, 1158, 555, 310, 120, 58, 29, 11, 5, 2, 2, 3, 1, 2)
CHOSEN = 1000  # classes kept for a batch
REFERENCE = 1000  # number of classes that larger numbers are compared with
FEW_STEPS = 3  # repetitions of slow measurements


def numbers_of_classes(setting: Setting) -> list[Row]:
    """Seconds and memory (without weights) of the text tower, forward and backward, for increasing numbers of classes.

    All names have the same number of tokens, so time depends on the number of classes alone.
    """
    counts = (10, 100, 1000) if setting.quick else (10, 100, 1000, 2000, 5000)
    runs, memory = [], []
    for n in counts:
        model = coop(setting, [f"class number {i:04}" for i in range(n)], setting.max_tokens)
        runs.append(lambda model=model: model.encode_text(model.prompt_learner()).mean().backward())
        memory.append(peak_bytes(runs[-1], setting.device))  # also a warm-up
    seconds = setting.seconds(runs, warm_up=0, most=FEW_STEPS)
    reference = seconds[counts.index(REFERENCE)]
    return [
        {"classes": n, "text, s": s, "memory, GB": m / 1e9}
        | ({f"relative to {REFERENCE} classes": s / reference} if n >= REFERENCE else {})
        for n, s, m in zip(counts, seconds, memory, strict=True)
    ]


def chosen_classes(setting: Setting) -> list[Row]:
    """Text tower on 1,000 of 20,930 names, padded for the longest that could have been chosen, and for those chosen."""
    names = [
        " ".join(["cat"] * (length - 1) + [word])
        for length, count in enumerate(NAMES_BY_LENGTH, start=1)
        for word in (["dog"] * count)
    ]
    model = coop(setting, names)
    chosen = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))[:CHOSEN].sort().values
    chosen, words = chosen.to(setting.device), model.class_tokens
    longest = sorted((int(end) + 1 for end in words.ends), reverse=True)[:CHOSEN]
    largest = [(longest[0], CHOSEN // 16), (longest[CHOSEN // 16], CHOSEN // 4 - CHOSEN // 16)]
    largest.append((longest[CHOSEN // 4], CHOSEN - CHOSEN // 4))
    actual = words.subset_by_length(words.count_by_bucket(chosen))

    def padded() -> Tensor:
        assembled = words.assemble(model.prompt_learner().ctx, model.text_encoder.embed, chosen)
        return model.text_encoder(*assembled, (), largest)

    def encoded() -> Tensor:
        return model.encode_text(model.prompt_learner(), chosen)

    row = compared(
        {"measured": f"{CHOSEN} of {len(names)} names"},
        [lambda: padded().mean().backward(), lambda: encoded().mean().backward()],
        setting,
        most=FEW_STEPS,
    )
    n_prefix = words.n_start + words.n_ctx
    tokens = {
        name: sum((length - n_prefix) * n for length, n in groups)
        for name, groups in {"plain": largest, "ours": actual}.items()
    }
    return [row | {f"tokens, {name}": n for name, n in tokens.items()}]


def coop(setting: Setting, names: list[str], max_tokens: int | None = None) -> PromptedCLIP:
    """A student with CoOp prompts for these class names."""
    clip = kept_clip(setting.student)
    return PromptedCLIP(clip, CoOpPromptLearner(clip), names, device=setting.device, max_tokens=max_tokens)
