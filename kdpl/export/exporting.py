"""Writing exported files, and checking them by running them."""

import copy
import io
import json
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor

from ..atomic_files import atomic_path
from ..extras import need
from ..prompts.prompted_clip import PromptedCLIP
from .program import ClassifierProgram

SUFFIXES = (".onnx", ".pt2", ".safetensors")
OPSET = 18
TOLERANCE = 1e-2  # in logits: a larger difference is an error, not rounding
INPUT, OUTPUTS = "image", ("logits", "probabilities")

Run = Callable[[Tensor], Tensor]  # images -> logits, computed by the exported file


class ExportReport(NamedTuple):
    """Comparison of an exported file with this library.

    Attributes:
        difference: largest absolute difference in logits.
        same_class: fraction of images with the same most likely class, 0 to 1.
        n_images: number of images compared.
    """

    difference: float
    same_class: float
    n_images: int

    def __str__(self) -> str:
        return (
            f"largest difference in logits {self.difference:.2g} on {self.n_images} images; "
            f"same class on {100 * self.same_class:.4g}%"
        )


def check_export(path: Path, with_preprocessing: bool) -> None:
    """Refuse an export that could not be written, before anything is loaded.

    Raises:
        ValueError: if the file extension is unknown, a package is missing, or preprocessing is requested for text
            features.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} has an unknown file extension; choose from {', '.join(SUFFIXES)}.")
    if suffix == ".safetensors" and with_preprocessing:
        raise ValueError("Exported text features have no image tower; use --with-preprocessing with .onnx or .pt2.")
    if suffix == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            need(package, "export", "Export to ONNX")


def export_model(
    path: Path,
    model: PromptedCLIP,
    transform: Callable[[Image.Image], Tensor],
    description: dict[str, Any],
    pictures: Sequence[Image.Image],
    with_preprocessing: bool = False,
) -> ExportReport:
    """Export a classifier, and run the exported file on images; a file that gives different results is not kept.

    Args:
        path: ends in .onnx, .pt2 or .safetensors.
        pictures: images to compare on; with preprocessing, each is a separate batch.

    Raises:
        ValueError: if the classifier cannot be exported in this format.
        FloatingPointError: if the exported file gives different results.
    """
    check_export(path, with_preprocessing)
    _check_method(path, model, description)
    model = PromptedCLIP(model.clip, copy.deepcopy(model.prompt_learner), model.classnames, device="cpu")
    metadata = _metadata(model, description, with_preprocessing)
    write = {".onnx": _write_onnx, ".pt2": _write_pt2, ".safetensors": _write_matrix}[path.suffix.lower()]
    normalised = torch.stack([transform(picture) for picture in pictures])
    with torch.no_grad():
        expected = model(normalised)
        with atomic_path(path) as temporary:
            run = write(temporary, model, metadata, with_preprocessing)
            if with_preprocessing:
                found = torch.cat([run(_bytes_of(picture)[None]) for picture in pictures])
            else:
                found = torch.cat([run(batch) for batch in (normalised[:1], normalised[1:]) if len(batch)])
            report = _compare(found, expected)
            if not report.difference < TOLERANCE and not with_preprocessing:
                raise FloatingPointError(f"The exported file gives different results from this library: {report}.")
    return report


def _check_method(path: Path, model: PromptedCLIP, description: dict[str, Any]) -> None:
    learner, method = model.prompt_learner, description.get("method", "The method")
    if learner.depends_on_image:
        raise ValueError(
            f"The prompts of {method} depend on the image, so the text tower would have to run for every image and "
            "class; there is no export for it. Use it through this library, or export another method."
        )
    if path.suffix.lower() == ".safetensors" and learner.learns_visual:
        raise ValueError(
            f"{method} also has prompts in the image tower, so text features for a plain CLIP are not enough. Export "
            "to .onnx or .pt2."
        )


def _metadata(model: PromptedCLIP, description: dict[str, Any], with_preprocessing: bool) -> dict[str, str]:
    """The metadata of an exported file."""
    preprocessing = model.clip.preprocessing
    values = {
        "classnames": model.classnames,
        "logit_scale": model.logit_scale,
        "preprocessing": {
            "inside": with_preprocessing,
            "size": preprocessing.size,
            "resize": preprocessing.resize,
            "interpolation": preprocessing.interpolation,
            "mean": preprocessing.mean,
            "std": preprocessing.std,
        },
        "description": description,
    }
    return {f"kdpl.{key}": json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _program(model: PromptedCLIP, with_preprocessing: bool) -> torch.export.ExportedProgram:
    size = model.clip.preprocessing.size
    dynamic = {0: torch.export.Dim("batch", min=1)}
    example = torch.zeros(2, 3, size, size)
    if with_preprocessing:
        example = torch.zeros(2, 3, size + 7, size + 16, dtype=torch.uint8)
        dynamic |= {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    program = ClassifierProgram(model, with_preprocessing).eval()
    return torch.export.export(program, (example,), dynamic_shapes={"image": dynamic}, strict=False)


def _write_pt2(path: Path, model: PromptedCLIP, metadata: dict[str, str], with_preprocessing: bool) -> Run:
    with open(path, "wb") as file:
        torch.export.save(_program(model, with_preprocessing), file, extra_files={"kdpl.json": json.dumps(metadata)})
    run = torch.export.load(io.BytesIO(path.read_bytes())).module()
    return lambda images: run(images)[0]


def _write_onnx(path: Path, model: PromptedCLIP, metadata: dict[str, str], with_preprocessing: bool) -> Run:
    import onnxruntime

    with warnings.catch_warnings():  # torch warns about its own exporter
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.onnx.export(
            _program(model, with_preprocessing), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=[INPUT], output_names=list(OUTPUTS),
        )  # fmt: skip
    exported.model.metadata_props.update(metadata)
    exported.save(str(path), external_data=False)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0])


def _write_matrix(path: Path, model: PromptedCLIP, metadata: dict[str, str], with_preprocessing: bool) -> Run:
    with model.fixed_prompts() as text_features:
        tensors = {"text_features": text_features[0].contiguous(), "logit_scale": torch.tensor(model.logit_scale)}
    path.write_bytes(_with_sorted_header(save(tensors, metadata=metadata)))
    written = load_file(path)
    return lambda images: written["logit_scale"] * (model.frozen_image_features(images) @ written["text_features"].T)


def noise_pictures(n: int = 8) -> list[Image.Image]:
    """Random images of different sizes, to compare on when there are no others."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(240 + 16 * i, 300 - 8 * i, 3) for i in range(n)]
    pixels = [torch.randint(0, 256, size, generator=generator, dtype=torch.uint8) for size in sizes]
    return [Image.fromarray(each.numpy()) for each in pixels]


def _bytes_of(picture: Image.Image) -> Tensor:
    """(3, height, width), uint8."""
    width, height = picture.size
    pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(height, width, 3).permute(2, 0, 1).contiguous()


def _compare(found: Tensor, expected: Tensor) -> ExportReport:
    same = (found.argmax(-1) == expected.argmax(-1)).float().mean().item()
    return ExportReport((found - expected).abs().max().item(), same, len(found))


def _with_sorted_header(content: bytes) -> bytes:
    """A safetensors file with the keys of its header sorted, because safetensors writes them in varying order."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]
