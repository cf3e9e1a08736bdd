"""The page docs/models.md."""

from collections.abc import Sequence

from kdpl.clip.licences import model_licences

from .measuring import LARGEST, Comparison

HEAD = """# Which CLIPs can be students and teachers

Written by `python -m tools.models`. Each line is one model of a family in its real configuration with random weights.
The numbers are the largest difference between our features and those of `encode_text` and `encode_image` in the model's
own library, relative to the largest feature, for prompts "a photo of a {{}}." and, if the text tower takes learned
prompts, for the untrained contexts of CoOp. Up to {largest:.0e} is accepted. Tokenizers that would have to be
downloaded are replaced by small ones that mark start, end and padding in the same way.

Every model can be a teacher. Text prompts are needed for CoOp, CoCoOp and KgCoOp, visual prompts for VPT, MaPLe and
PromptSRC. A 0 means that the tower is run by its own library. `kdpl models` lists all names.

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
Text towers from Hugging Face (`roberta-ViT-B-32`, `xlm-roberta-*`, `mt5-*`, `nllb-clip-*`) and CoCa can only be
teachers: their own library runs them, so there is nothing to compare. If attention is not causal, every word sees the
padding, so such prompts can neither be shortened nor share a prefix, and training takes longer.
"""
