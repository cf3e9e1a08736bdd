"""Self-describing files of learned prompts.

``prompts.safetensors`` contains the learned tensors and, as metadata, a description in JSON. Checkpoints
(``model.pth.tar-N``) contain the same description.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..atomic_files import atomic_path
from ..clip.licences import terms_of
from ..clip.loaded import LoadedCLIP
from ..outside import check_file
from ..versions import versions
from .checkpoints import Description, fill_learner, parse_description, read_prompt_checkpoint
from .prompt_learner import PromptLearner

FILE_NAME = "prompts.safetensors"
FORMAT = "kdpl-prompts-2"
KEY = "kdpl"  # metadata key of the description in a safetensors file


def describe_prompts(
    method: str, settings: Mapping[str, Any], learner: PromptLearner, clip: LoadedCLIP, **training: Any
) -> Description:
    """The description of prompts, as plain values.

    Args:
        settings: complete settings of the method.
        clip: the student.
        training: other facts: teacher, template, classnames, dataset, shots, seed, epoch, accuracies.
    """
    text, vision = clip.towers.text, clip.towers.vision
    student = {
        "name": clip.name,
        "sha256": clip.weights_sha256,
        "fingerprint": clip.fingerprint,
        "text_width": text.width,
        "vision_width": vision.width if vision else None,
        "embed_dim": text.embed_dim,
        **terms_of(clip.name),
        **({"source": dict(clip.source)} if clip.source else {}),
    }
    return {
        "format": FORMAT,
        "method": method,
        "settings": dict(settings),
        **_prompt_layout(learner),
        "student": student,
        **training,
        # Without the system, which is private, because files get shared.
        "versions": {name: version for name, version in versions().items() if name != "system"},
    }


def save_prompt_file(path: str | os.PathLike, learner: PromptLearner, description: Description) -> None:
    """Write the learned tensors (kilobytes) and their description, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in learner.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(description, ensure_ascii=False)}))


def is_safetensors(path: str | os.PathLike) -> bool:
    """Whether a file has the safetensors format, judging by its first bytes."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"  # eight bytes of length, then a JSON header


def read_prompt_file(path: str | os.PathLike) -> tuple[dict[str, Tensor], Description | None, bool]:
    """Tensors of a prompt file or checkpoint, its description (or None), and whether its tensors have our names.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is neither, or is damaged.
    """
    check_file(path, "prompt file")
    if not is_safetensors(path):
        return read_prompt_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} is not a prompt file, or is damaged: {error}") from error
    return tensors, parse_description(path, metadata[KEY]) if KEY in metadata else None, True


def load_prompts(path: str | os.PathLike, method: str, learner: PromptLearner, clip: LoadedCLIP) -> Description | None:
    """Load a prompt file, or one of our checkpoints or a published one, into a prompt learner.

    Args:
        method: the learner's method.
        clip: the student.

    Returns:
        The description; None if the file has none, in which case a printed line says what could not be checked.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is none of these, its method, student, words, lengths or depths differ (naming both
            sides), or its values are not finite real numbers.
    """
    state, description, ours = read_prompt_file(path)
    if description and description["method"] != method:
        raise ValueError(
            f"{path} contains {description['method']} prompts, but the trainer is for {method}. "
            f"Use a {description['method']} trainer, or choose another --model-dir."
        )
    if description and "student" in description:
        _check_description(path, description, learner, clip)
    else:
        description = None
        print(f"{path} does not record the student, words and settings of its prompts, so they could not be checked.")
    fill_learner(path, method, learner, state, ours)
    return description


def _prompt_layout(learner: PromptLearner) -> dict[str, Any]:
    return {
        "words": learner.words,
        "n_ctx": learner.n_ctx,
        "class_token_position": learner.class_token_position,
    }


def _check_description(
    path: str | os.PathLike, description: Description, learner: PromptLearner, clip: LoadedCLIP
) -> None:
    """Compare a file's student and words with the current ones; tensor shapes reveal lengths and depths."""
    theirs, ours = description["student"], clip.fingerprint
    differences = []
    if theirs["fingerprint"] != ours:
        in_file = f"{theirs['name']} ({theirs['fingerprint'][:12]})"
        differences.append(f"student: {in_file} in the file, {clip.name} ({ours[:12]}) here")
    differences += [
        f"{key}: {description[key]!r} in the file, {value!r} here"
        for key, value in _prompt_layout(learner).items()
        if description[key] != value
    ]
    if differences:
        raise ValueError(
            f"{path} does not belong to this student with these settings:\n  " + "\n  ".join(differences) + "\n"
            "Prompts work only with the weights, words and settings that they were learned with. Use those of the "
            "file, or choose another file."
        )
