"""CLIPs in the layout of transformers' ``CLIPModel``, from a folder or the Hub, converted while loading."""

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..names import HUB_PREFIX
from ..offline import all_present
from ..outside import read_json
from .hub import TOKENIZER_PATTERNS, hub_failures, hub_file, source_of
from .loaded import LoadedCLIP
from .open_clip_loading import hub_tokenizer, truncation_refused, variant_of
from .open_clip_names import import_open_clip
from .open_clip_towers import open_clip_towers
from .openai import tokenize
from .towers import OPENAI_MEAN, OPENAI_STD, Preprocessing
from .weight_files import read_state_dict

CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
CLIP_VOCABULARY = 49408  # tokens in OpenAI's vocabulary
ACTIVATIONS = {"quick_gelu": True, "gelu": False}  # whether it is QuickGELU
INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # by PIL's numbers
_RENAMED = (  # CLIPModel's names as patterns, OpenAI's names
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),  # sic
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.", ".attn."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def split_hub_name(name: str) -> tuple[str, str | None]:
    """Repository and revision of "hf:ORG/NAME" or "hf:ORG/NAME@REVISION".

    Raises:
        ValueError: if the name has another form.
    """
    repository, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(
            f"{name} is not a repository on the Hub; write {HUB_PREFIX}ORG/NAME or {HUB_PREFIX}ORG/NAME@REVISION."
        )
    return repository, revision or None


def hub_weights_file(name: str) -> Path:
    """The weights of "hf:ORG/NAME", in one folder with configuration and tokenizer; downloaded if necessary.

    Raises:
        Missing: when offline, naming all missing files.
        ConnectionError: if the download fails.
        ValueError: if the model is not a ``CLIPModel``; its weights are not downloaded then.
    """
    repository, revision = split_hub_name(name)

    def config() -> Path:
        path = hub_file(repository, (CONFIG,), lambda: _fetch_small_files(repository, revision), name, revision)
        read_config(path)
        return path

    def weights() -> Path:
        return hub_file(repository, WEIGHTS, lambda: _fetch_weights(repository, revision), name, revision)

    with hub_failures(name, repository, "a local folder with its files"):
        return all_present([config, weights])[1]


def _fetch_small_files(repository: str, revision: str | None) -> Path:
    import huggingface_hub

    patterns = [*TOKENIZER_PATTERNS, "*processor_config.json"]
    return Path(huggingface_hub.snapshot_download(repository, allow_patterns=patterns, revision=revision)) / CONFIG


def _fetch_weights(repository: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import EntryNotFoundError

    safe, other = WEIGHTS
    try:
        return hf_hub_download(repository, safe, revision=revision)
    except EntryNotFoundError:
        return hf_hub_download(repository, other, revision=revision)


def folder_weights_file(folder: str | Path) -> Path:
    """The weights in a folder that ``CLIPModel.save_pretrained`` wrote.

    Raises:
        FileNotFoundError, ValueError: if it is not such a folder.
    """
    read_config(Path(folder) / CONFIG)
    for name in WEIGHTS:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise FileNotFoundError(f"{folder} has a {CONFIG} but no weights; expected {' or '.join(WEIGHTS)}.")


def read_config(file: Path) -> dict[str, Any]:
    """The configuration of a ``CLIPModel``.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it belongs to another kind of model.
    """
    try:
        config = read_json(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file.parent} has no {CONFIG}; a folder with a CLIPModel has one.") from error
    except ValueError as error:
        raise ValueError(f"{file} is damaged: it is not JSON ({error}).") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "clip" or not {"text_config", "vision_config"} <= config.keys():
        raise ValueError(
            f"{file} belongs to a model of type {kind!r}; only transformers' CLIPModel can be loaded from the Hub. "
            "open_clip may have the model: see `kdpl models`."
        )
    return config


def load_transformers_clip(path: Path, name: str, sha256: str) -> LoadedCLIP:
    """Load the CLIP with this weights file, which has its ``config.json`` beside it; see ``load_clip``."""
    config = read_config(path.parent / CONFIG)
    try:
        architecture = _architecture(config)
        model = import_open_clip().model.CLIP(**architecture)
        model.load_state_dict(renamed(read_state_dict(path)), strict=True)
    except (RuntimeError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"{path} does not match its {CONFIG}: {error}") from error
    if architecture["text_cfg"]["vocab_size"] == CLIP_VOCABULARY:
        tokenizer = partial(tokenize, context_length=model.context_length)
    else:
        tokenizer = partial(_own_tokenize, folder=path.parent, name=name, context_length=model.context_length)
    return LoadedCLIP(
        name=name,
        model=model.float().requires_grad_(False).eval(),
        tokenize=tokenizer,
        describe=open_clip_towers,
        preprocessing=_preprocessing(path.parent, architecture["vision_cfg"]["image_size"]),
        weights_sha256=sha256,
        variant=variant_of(architecture),
        source=source_of(path),
    )


def renamed(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ``CLIPModel``'s tensors under OpenAI's names: one matrix for q, k and v, and transposed projections."""
    found: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state_dict.items():
        if key.endswith(".position_ids"):
            continue
        if key in ("text_projection.weight", "visual_projection.weight"):
            found[{"t": "text_projection", "v": "visual.proj"}[key[0]]] = tensor.T.contiguous()
            continue
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
        if part := re.fullmatch(r"(.*\.attn\.)([qkv])_proj\.(weight|bias)", key):
            attention.setdefault(f"{part[1]}in_proj_{part[3]}", {})[part[2]] = tensor
        else:
            found[key] = tensor
    return found | {key: torch.cat([parts[which] for which in "qkv"]) for key, parts in attention.items()}


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of the same model; missing entries have transformers' defaults."""
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
            "vocab_size": CLIP_VOCABULARY, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5, "eos_token_id": 49407} | config["text_config"]  # fmt: skip
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
              "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu",
              "layer_norm_eps": 1e-5} | config["vision_config"]  # fmt: skip
    activations = {text["hidden_act"], vision["hidden_act"]}
    if len(activations) > 1 or not activations <= ACTIVATIONS.keys():
        raise ValueError(
            f"This CLIPModel's activations are {sorted(activations)}; both towers must use the same one of "
            f"{sorted(ACTIVATIONS)}."
        )
    # transformers uses 2 to mean the largest token id, a legacy of the first converted checkpoints.
    largest = text["eos_token_id"] in (2, text["vocab_size"] - 1)
    shared = [
        {"width": each["hidden_size"], "layers": each["num_hidden_layers"],
         "mlp_ratio": each["intermediate_size"] / each["hidden_size"],
         "norm_kwargs": None if each["layer_norm_eps"] == 1e-5 else {"eps": each["layer_norm_eps"]}}
        for each in (text, vision)
    ]  # fmt: skip
    text_cfg = shared[0] | {"heads": text["num_attention_heads"], "vocab_size": text["vocab_size"],
                            "context_length": text["max_position_embeddings"]}  # fmt: skip
    if not largest:
        text_cfg |= {"pool_type": "eos", "eos_id": text["eos_token_id"]}
    vision_cfg = shared[1] | {"head_width": vision["hidden_size"] // vision["num_attention_heads"],
                              "image_size": vision["image_size"], "patch_size": vision["patch_size"]}  # fmt: skip
    return {"embed_dim": config.get("projection_dim", 512), "quick_gelu": ACTIVATIONS[activations.pop()],
            "text_cfg": text_cfg, "vision_cfg": vision_cfg}  # fmt: skip


def _preprocessing(folder: Path, size: int) -> Preprocessing:
    """The preprocessing from ``preprocessor_config.json``; without one, that of OpenAI's CLIPs."""
    config = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            config |= read_json(folder / name)
    config |= config.get("image_processor", {})
    return Preprocessing(
        size,
        tuple(config.get("image_mean", OPENAI_MEAN)),
        tuple(config.get("image_std", OPENAI_STD)),
        "shortest" if config.get("do_center_crop", True) else "squash",
        INTERPOLATIONS.get(config.get("resample", 3), "bicubic"),
    )


def _own_tokenize(texts: list[str], folder: Path, name: str, context_length: int) -> Tensor:
    return truncation_refused(texts, _tokenizer(folder, name, context_length))


@cache
def _tokenizer(folder: Path, name: str, context_length: int) -> Any:
    return hub_tokenizer(folder, name, {"context_length": context_length})
