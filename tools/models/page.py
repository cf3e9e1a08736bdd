"""The page docs/models.md."""

from collections.abc import Sequence

from kdpl.clip.licences import model_licences

from .measuring import LARGEST, Comparison

HEAD = """# Which CLIPs can be students and teachers

Written by `python -m tools.models`. Each line is one member of a family in its real configuration with random weights:
the largest difference between the features here and those of `encode_text` and `encode_image` of its own library, over
the largest number in them, for the sentence "a photo of a {{}}." and, where prompts can be learned, for the untrained
contexts of CoOp as well. Allowed is {largest:.0e}. Tokenizers that would have to be fetched are replaced by small ones
that mark beginning, end and padding in the same way.

Every model is a teacher. Text prompts are those of CoOp, CoCoOp and KgCoOp, visual ones those of VPT, MaPLe and
PromptSRC. A number of 0 means that the tower is run by its own library. `kdpl models` lists all names.

| family | measured | text prompts | visual prompts | text tower | text | image | licence of the weights |
|---|---|---|---|---|---|---|---|
"""


def page(comparisons: Sequence[Comparison]) -> str:
    """The whole page."""
    return HEAD.format(largest=LARGEST) + "".join(_line(found) for found in comparisons) + NOTES


def _line(found: Comparison) -> str:
    licences = model_licences(found.member) if "/" not in found.member else []
    cells = [
        f"{found.family}<br>also {found.others}" if found.others else found.family,
        found.member,
        "yes" if found.text_prompts else "no",
        "yes" if found.visual_prompts else "no",
        found.text_facts or "run by its library",
        f"{found.text:.1e}" if found.text else "0",
        f"{found.image:.1e}" if found.image else "0",
        ", ".join(map(str, filter(None, licences))) or "see its page",
    ]
    return f"| {' | '.join(cells)} |\n"


NOTES = """
Text towers of Hugging Face (`roberta-ViT-B-32`, `xlm-roberta-*`, `mt5-*`, `nllb-clip-*`) and CoCa are teachers only:
their own library runs them, so there is nothing to compare. Where attention is not causal, every word sees the padding:
such prompts are neither cut nor do they share their beginning, and training takes longer.
"""
