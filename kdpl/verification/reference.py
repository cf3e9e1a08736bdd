"""A reference implementation of CLIP, kept as plain as possible: computes features and pixels from the weights alone.

It is slow and shares no code with the towers used for training. Its functions can also reproduce common mistakes in
CLIP implementations, so that the cause of a wrong number can be named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..clip.towers import OPENAI_MEAN, OPENAI_STD, Preprocessing

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEAD_WIDTH = 64  # in all of OpenAI's CLIPs
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Mistake:
    """A mistake in an implementation of CLIP; the defaults are correct.

    Attributes:
        name: description for messages.
        activation: "quick_gelu", "gelu" or "gelu_tanh".
        rounded_to: precision that the weights were rounded to.
        transposed: projection that is transposed.
        causal: whether text attention is causal.
    """

    name: str = ""
    activation: str = "quick_gelu"
    rounded_to: torch.dtype | None = None
    transposed: str = ""
    causal: bool = True


NONE = Mistake()
MISTAKES = (
    Mistake("wrong activation: GELU instead of QuickGELU", activation="gelu"),
    Mistake("wrong activation: GELU's tanh approximation instead of QuickGELU", activation="gelu_tanh"),
    Mistake("transposed projection: text_projection", transposed="text_projection"),
    Mistake("transposed projection: visual.proj", transposed="visual.proj"),
    Mistake("half-precision rounding: weights were rounded to float16", rounded_to=torch.float16),
    Mistake("half-precision rounding: weights were rounded to bfloat16", rounded_to=torch.bfloat16),
    Mistake("text attention is not causal", causal=False),
)


def text_features(weights: Weights, tokens: Tensor, mistake: Mistake = NONE) -> Tensor:
    """(n, context_length) token ids -> (n, embed_dim), not normalised, from tensors in OpenAI's layout."""
    w = _prepared(weights, mistake)
    x = w["token_embedding.weight"][tokens] + w["positional_embedding"]
    x = _transformer(w, "transformer.", x, mistake, causal=mistake.causal)
    x = _norm(w, "ln_final.", x)[torch.arange(len(tokens)), tokens.argmax(dim=-1)]
    return x @ w["text_projection"]


def image_features(weights: Weights, image: Tensor, mistake: Mistake = NONE) -> Tensor:
    """(batch, 3, size, size), normalised pixels -> (batch, embed_dim) of a ViT, not normalised."""
    w = _prepared(weights, mistake)
    kernel = w["visual.conv1.weight"]
    patches = F.conv2d(image, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)  # (batch, patches, width)
    first = w["visual.class_embedding"].expand(len(image), 1, -1)
    x = _norm(w, "visual.ln_pre.", torch.cat([first, patches], dim=1) + w["visual.positional_embedding"])
    x = _transformer(w, "visual.transformer.", x, mistake, causal=False)
    return _norm(w, "visual.ln_post.", x[:, 0]) @ w["visual.proj"]


def is_vit(weights: Weights) -> bool:
    return "visual.proj" in weights


def _prepared(weights: Weights, mistake: Mistake) -> Weights:
    w = {name: tensor.float() for name, tensor in weights.items() if tensor.is_floating_point()}
    if mistake.rounded_to:
        w = {name: tensor.to(mistake.rounded_to).float() for name, tensor in w.items()}
    if mistake.transposed in w:
        w[mistake.transposed] = w[mistake.transposed].T
    return w


def _transformer(w: Weights, prefix: str, x: Tensor, mistake: Mistake, causal: bool) -> Tensor:
    block = 0
    while f"{prefix}resblocks.{block}.ln_1.weight" in w:
        p = f"{prefix}resblocks.{block}."
        q, k, v = _linear(w, f"{p}attn.in_proj_", _norm(w, f"{p}ln_1.", x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2) for part in (q, k, v))  # (n, heads, tokens, 64)
        scores = q @ k.transpose(-1, -2) / HEAD_WIDTH**0.5
        if causal:
            scores = scores + torch.full(scores.shape[-2:], -torch.inf).triu(1)
        attended = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        x = x + _linear(w, f"{p}attn.out_proj.", attended)
        hidden = _activation(_linear(w, f"{p}mlp.c_fc.", _norm(w, f"{p}ln_2.", x)), mistake.activation)
        x = x + _linear(w, f"{p}mlp.c_proj.", hidden)
        block += 1
    return x


def _linear(w: Weights, prefix: str, x: Tensor) -> Tensor:
    return x @ w[f"{prefix}weight"].T + w[f"{prefix}bias"]


def _norm(w: Weights, prefix: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{prefix}weight"], w[f"{prefix}bias"])


def _activation(x: Tensor, name: str) -> Tensor:
    if name == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")


# Pixels

PIXEL_MISTAKES = {  # description for messages -> arguments of :func:`pixels`
    "swapped channels: blue, green, red instead of red, green, blue": {"reversed_channels": True},
    "squashed images: resized to a square without keeping the aspect ratio": {"squash": True},
    "wrong pixel statistics: ImageNet's mean and standard deviation": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "wrong pixel statistics: 0.5 for mean and standard deviation": {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    "wrong pixel statistics: pixels are not normalised": {"mean": (0.0,) * 3, "std": (1.0,) * 3},
    "wrong interpolation: bilinear instead of bicubic": {"interpolation": Image.Resampling.BILINEAR},
}


def test_picture() -> Image.Image:
    """A synthetic picture with edges and with different channels, twice as wide as high."""
    y, x = np.mgrid[0:150, 0:300]
    red, green, blue = x * 255 // 299, y * 255 // 149, ((x // 25 + y // 25) % 2) * 200
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8), "RGB")


def pixels(
    picture: Image.Image,
    size: int,
    mean: tuple[float, float, float] = OPENAI_MEAN,
    std: tuple[float, float, float] = OPENAI_STD,
    squash: bool = False,
    reversed_channels: bool = False,
    interpolation: Image.Resampling = Image.Resampling.BICUBIC,
) -> Tensor:
    """Resize the shorter side, crop the centre, scale to 0 to 1 and normalise: (3, size, size)."""
    width, height = picture.size
    shorter = min(width, height)
    new_size = (size, size) if squash else (int(size * width / shorter), int(size * height / shorter))
    picture = picture.resize(new_size, interpolation)
    left, top = round((picture.width - size) / 2), round((picture.height - size) / 2)
    values = np.asarray(picture.crop((left, top, left + size, top + size)), dtype=np.float32) / 255
    values = values[..., ::-1] if reversed_channels else values
    normalised = (values - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(normalised.transpose(2, 0, 1).copy())


def pixels_for(picture: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """The correct input for a tower with this preprocessing."""
    return pixels(
        picture, preprocessing.size, preprocessing.mean, preprocessing.std, preprocessing.resize == "squash",
        interpolation=Image.Resampling[preprocessing.interpolation.upper()],
    )  # fmt: skip
