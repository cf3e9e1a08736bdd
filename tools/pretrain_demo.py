"""Train the demo's student and teacher from scratch. Usage: python -m tools.pretrain_demo [--output kdpl/demo]

Both are CLIPs in OpenAI's layout, trained with CLIP's contrastive loss on drawn pictures of all media and conditions.
The student reads captions that name the medium, such as "a poster of a red striped circle". Most of the teacher's
captions say "a photo of a ..." whatever the medium, so it has to learn to recognise things in any medium. Each uses one
core, and the same seed gives the same files.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from datasets.shapes import class_words
from datasets.shapes_drawing import SIZE, draw
from kdpl.clip.demo_weights import N_TOKENS, load_demo_state_dict, save_demo_weights, untrained_words
from kdpl.clip.image_encoder import ImageEncoder
from kdpl.clip.openai import clip_from_state_dict, tokenize
from kdpl.clip.text_encoder import TextEncoder
from kdpl.clip.towers import OPENAI_MEAN, OPENAI_STD, normalise, openai_towers
from kdpl.guard import run_command
from kdpl.import_guards import import_clip
from tools.demo_captions import WORDS, caption, is_true, random_pictures, trained_tokens, unrelated_text

import_clip()
from clip.model import CLIP  # noqa: E402

CONTEXT_LENGTH, EMBED_DIM, TEXT_WIDTH, TEXT_LAYERS = 77, 64, 64, 3
LEARNING_RATE, WARM_UP, WEIGHT_DECAY, MAX_GRADIENT_NORM = 2e-3, 100, 0.05, 1.0
MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class Recipe:
    """What differs between student and teacher.

    Attributes:
        vision: depth, width and patch size of a ViT, or depths, width and None for CLIP's ResNet.
        generic: share of captions that say "a photo of a" whatever the medium.
        steps: number of training steps.
    """

    vision: tuple[int | tuple[int, ...], int, int | None]
    generic: float
    steps: int


RECIPES = {
    "student": Recipe(vision=(3, 128, 16), generic=0.0, steps=1600),
    "teacher": Recipe(vision=((1, 1, 1, 1), 12, None), generic=0.7, steps=900),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("kdpl/demo"), help="folder for the two files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=40_000, help="pictures drawn for each model")
    parser.add_argument("--batch", type=int, default=256, help="pictures and captions per step")
    parser.add_argument("--steps", type=int, help="for both models; by default as in RECIPES")
    arguments = parser.parse_args()
    # One single-threaded process each, so that sums are the same on every machine and two cores are used.
    torch.multiprocessing.spawn(pretrain_one, args=(arguments,), nprocs=len(RECIPES))
    print("\n" * len(RECIPES) + "Accuracy on posters of the 48 new classes, %")
    for role in RECIPES:
        model = clip_from_state_dict(load_demo_state_dict(arguments.output / f"{role}.safetensors"))
        for words in ("a photo of a", "a poster of a"):
            print(f'  {role}, "{words} ...": {accuracy_on_posters(model, words):.1f}')


def pretrain_one(index: int, arguments: argparse.Namespace) -> None:
    """Train and save the student (0) or the teacher (1), in a single thread."""
    torch.set_num_threads(1)
    role = list(RECIPES)[index]
    recipe = RECIPES[role]
    with tqdm(total=0, desc=role, position=index, unit="image") as bar:
        steps, seed = arguments.steps or recipe.steps, (arguments.seed, index)
        model = pretrain(recipe, steps, arguments.batch, arguments.images, seed, bar)
    save_demo_weights(arguments.output / f"{role}.safetensors", model.state_dict(), trained_tokens())


def pretrain(recipe: Recipe, steps: int, batch: int, images: int, seed: tuple[int, int], bar: tqdm) -> CLIP:
    """Train a CLIP for ``steps`` batches from ``images`` pictures, deterministically."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(generator.integers(2**31))
    model = new_clip(recipe)
    towers = openai_towers(model, tokenize)
    encode_image, encode_text = ImageEncoder(towers), TextEncoder(towers.text)
    pictures, pixels = draw_pictures(generator, images, bar)

    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    model.train()
    bar.unit = "step"
    bar.reset(total=steps)
    for _ in range(steps):
        chosen = generator.integers(images, size=batch)
        texts, claims = zip(*(caption(generator, picture, recipe.generic) for picture in pictures[chosen]), strict=True)
        unrelated = [unrelated_text(generator) for _ in range(batch // 4)]
        tokens = tokenize([*texts, *unrelated])
        image = normalised_pixels(pixels[chosen])
        mirrored = torch.from_numpy(generator.random(batch) < 0.5)
        image[mirrored] = image[mirrored].flip(-1)

        image_features = normalise(encode_image(image))
        text_features = normalise(encode_text.encode_tokens(tokens))
        logits = model.logit_scale.exp() * image_features @ text_features.T  # (batch, batch + unrelated)
        true = is_true(torch.from_numpy(np.stack(claims)), torch.from_numpy(pictures[chosen]))
        loss = contrastive_loss(logits, true)

        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        bar.set_postfix(loss=f"{loss.item():.3f}", scale=f"{model.logit_scale.exp().item():.1f}", refresh=False)
        bar.update()
    model.token_embedding = model.token_embedding.whole()
    return model


def contrastive_loss(logits: Tensor, true: Tensor) -> Tensor:
    """CLIP's loss where a picture may match several captions and a caption several pictures.

    Args:
        logits: (batch, batch + unrelated), the captions of the batch first.
        true: (batch, batch) bool, which captions are true of which pictures.
    """
    batch = len(true)
    true = true.float()
    to_caption = F.log_softmax(logits, dim=1)[:, :batch]
    to_picture = F.log_softmax(logits[:, :batch], dim=0)
    per_picture = (true / true.sum(dim=1, keepdim=True) * to_caption).sum(dim=1)
    per_caption = (true / true.sum(dim=0, keepdim=True) * to_picture).sum(dim=0)
    return -(per_picture.mean() + per_caption.mean()) / 2


class PartlyTrainedEmbedding(nn.Module):
    """A word embedding in which only some rows are trained."""

    def __init__(self, table: Tensor, token_ids: list[int]):
        super().__init__()
        self.table = table
        self.token_ids = torch.tensor(token_ids)
        self.row_of_token = torch.full((len(table),), -1)
        self.row_of_token[self.token_ids] = torch.arange(len(token_ids))
        self.rows = nn.Parameter(table[self.token_ids])

    @property
    def embedding_dim(self) -> int:
        return self.table.shape[1]

    def forward(self, tokens: Tensor) -> Tensor:
        row = self.row_of_token[tokens]
        return torch.where((row >= 0)[..., None], self.rows[row.clamp(min=0)], self.table[tokens])

    def whole(self) -> nn.Embedding:
        """An ordinary embedding with the trained rows in place."""
        table = self.table.clone()
        table[self.token_ids] = self.rows.detach()
        return nn.Embedding.from_pretrained(table)


def new_clip(recipe: Recipe) -> CLIP:
    """A CLIP with the recipe's image tower and random weights."""
    layers, width, patch = recipe.vision
    model = CLIP(
        embed_dim=EMBED_DIM,
        image_resolution=SIZE,
        vision_layers=layers,
        vision_width=width,
        vision_patch_size=patch,
        context_length=CONTEXT_LENGTH,
        vocab_size=N_TOKENS,
        transformer_width=TEXT_WIDTH,
        transformer_heads=TEXT_WIDTH // 64,
        transformer_layers=TEXT_LAYERS,
    )
    model.token_embedding = PartlyTrainedEmbedding(untrained_words(TEXT_WIDTH), trained_tokens())
    return model


def draw_pictures(generator: np.random.Generator, n: int, bar: tqdm) -> tuple[np.ndarray, np.ndarray]:
    """Draw n pictures; returns (n, 5) indices into ``WORDS`` and (n, 64, 64, 3) uint8 pixels."""
    pictures = random_pictures(generator, n)
    pixels = np.empty((n, SIZE, SIZE, 3), dtype=np.uint8)
    bar.reset(total=n)
    for i, picture in enumerate(pictures):
        pixels[i] = draw(generator, *(words[k] for words, k in zip(WORDS, picture, strict=True)))
        bar.update()
    return pictures, pixels


def normalised_pixels(pixels: np.ndarray) -> Tensor:
    """(n, 64, 64, 3) uint8 to (n, 3, 64, 64) float32, normalised with CLIP's mean and standard deviation."""
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (image - torch.tensor(OPENAI_MEAN).view(3, 1, 1)) / torch.tensor(OPENAI_STD).view(3, 1, 1)


@torch.no_grad()
def accuracy_on_posters(model: CLIP, words: str, per_class: int = 20, seed: int = 0) -> float:
    """Zero-shot accuracy in percent of "<words> <class>." on freshly drawn plain posters of the 48 new classes."""
    generator = np.random.default_rng((seed, 2))
    classes = class_words()[48:]
    pixels = np.stack([draw(generator, *name, "poster", "plain") for name in classes for _ in range(per_class)])
    texts = [f"{words} {' '.join(name)}." for name in classes]
    towers = openai_towers(model, tokenize)
    image_features = normalise(ImageEncoder(towers)(normalised_pixels(pixels)))
    text_features = normalise(TextEncoder(towers.text).encode_tokens(tokenize(texts)))
    predicted = (image_features @ text_features.T).argmax(dim=1)
    labels = torch.arange(len(classes)).repeat_interleave(per_class)
    return 100 * (predicted == labels).float().mean().item()


if __name__ == "__main__":
    run_command(main)
