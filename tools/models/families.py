"""One model per family of CLIPs, with random weights, in its real size or reduced to a few narrow layers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdpl.clip.loaded import LoadedCLIP
from kdpl.clip.loading import load_clip
from kdpl.clip.open_clip_loading import loaded_open_clip
from kdpl.clip.open_clip_names import import_open_clip

from .stand_in_tokenizers import N_TOKENS, write_tokenizer

SMALL_TIMM = "test_convnext"  # accepts images of any size


@dataclass(frozen=True)
class Family:
    """Models with the same architecture.

    Attributes:
        name: name in the table.
        member: open_clip's name of the model that is measured.
        others: other models with its architecture.
    """

    name: str
    member: str
    others: str = ""


FAMILIES = (
    Family("OpenAI, DFN, MetaCLIP (ViT)", "ViT-B-32-quickgelu", "ViT-B-16, ViT-L-14, ViT-H-14"),
    Family("LAION, DataComp (ViT)", "ViT-B-32", "ViT-B-16, ViT-L-14, ViT-H-14, ViT-g-14, ViT-bigG-14"),
    Family("OpenAI (ResNet)", "RN50-quickgelu", "RN101, RN50x4, RN50x16, RN50x64"),
    Family("LAION (ConvNeXt)", "convnext_base", "convnext_large_d, convnext_xxlarge"),
    Family("ViT with LayerScale", "ViT-M-16-alt"),
    Family("MobileCLIP-S, -L; MobileCLIP2", "MobileCLIP2-S0", "MobileCLIP-S1, -S2; MobileCLIP2-S2, -S3, -S4, -L-14"),
    Family("MobileCLIP-B", "MobileCLIP-B", "MobileCLIP2-B"),
    Family("EVA", "EVA02-B-16", "EVA01-g-14, EVA02-L-14, EVA02-E-14"),
    Family("PE-Core", "PE-Core-T-16-384", "PE-Core-S-16-384, -B-16, -L-14-336, -bigG-14-448"),
    Family("ViTamin", "ViTamin-S", "ViTamin-B, -L, -L2, -XL"),
    Family("SigLIP", "ViT-B-16-SigLIP", "ViT-L-16-SigLIP, ViT-SO400M-14-SigLIP"),
    Family("SigLIP 2", "ViT-B-32-SigLIP2-256", "ViT-B-16-SigLIP2, ViT-L-16-SigLIP2, ViT-SO400M-16-SigLIP2"),
    Family("SigLIP (multilingual)", "ViT-SO400M-16-SigLIP-i18n-256"),
    Family("CLIPA", "ViT-L-14-CLIPA", "ViT-H-14-CLIPA, ViT-bigG-14-CLIPA"),
    Family("MetaCLIP 2", "ViT-H-14-worldwide-quickgelu", "ViT-bigG-14-worldwide"),
    Family("MetaCLIP 2 (mT5's tokens)", "ViT-L-14-worldwide"),
    Family("CoCa", "coca_ViT-B-32", "coca_ViT-L-14"),
)


def configuration(family: Family, folder: Path, small: bool) -> dict[str, Any]:
    """The configuration of the member, with a stand-in for any tokenizer that would have to be downloaded."""
    config = import_open_clip().get_model_config(family.member)
    text = config["text_cfg"]
    if small:
        _shrink(config)
    if repository := text.get("hf_tokenizer_name"):
        text["hf_tokenizer_name"] = str(write_tokenizer(folder / "tokenizer", repository))
    return config


def random_member(family: Family, folder: Path, small: bool, seed: int = 0) -> tuple[LoadedCLIP, nn.Module]:
    """A member with random weights, loaded by us and as open_clip's own model.

    Its configuration is written into the folder, and for a small model also a checkpoint, from which it is loaded.
    """
    open_clip = import_open_clip()
    name = f"KDPL-{'small' if small else 'real'}-{family.member}"
    (folder / f"{name}.json").write_text(json.dumps(configuration(family, folder, small)))
    open_clip.add_model_config(folder / f"{name}.json")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.create_model(name).eval().requires_grad_(False)
        for (
            key,
            parameter,
        ) in model.named_parameters():  # by default, weights of text towers are too small to show differences
            if parameter.dim() > 1 and not key.startswith(("visual.", "token_embedding", "text.token_embedding")):
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
            elif key.endswith((".gamma", ".bias")):
                parameter.normal_(std=0.2)
    if not small:  # one copy of several gigabytes is enough
        return loaded_open_clip(model, f"open_clip:{name}/random"), model
    checkpoint = folder / f"{name}-{seed}.pt"
    torch.save(model.state_dict(), checkpoint)
    return load_clip(f"open_clip:{name}/{checkpoint}"), model


def _shrink(config: dict[str, Any]) -> None:
    """Reduce a configuration to a few narrow layers of the same kind."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    config["embed_dim"] = 32
    text |= {"width": 64, "heads": 2, "layers": 3}
    if text.get("proj_type") == "none":
        text["width"] = 32
    if "hf_tokenizer_name" in text:
        text["vocab_size"] = N_TOKENS
    if "timm_model_name" in vision:
        vision |= {"timm_model_name": SMALL_TIMM, "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
    elif isinstance(vision["layers"], list):
        vision |= {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}
    else:
        vision |= {"width": 128, "layers": 3, "patch_size": 8, "image_size": 32, "head_width": 64}
    if "multimodal_cfg" in config:
        config["multimodal_cfg"] |= {"width": 64, "heads": 2, "layers": 2}
    if "attn_pooler_heads" in vision:
        vision["attn_pooler_heads"] = 2
