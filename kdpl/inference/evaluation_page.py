"""Output files of an evaluation: numbers, tables, figures, and a page with all of them."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic_files import atomic_path, write_json_atomically
from ..classifier import Classifier
from ..extras import need
from ..pages import render
from .evaluating import Evaluation, wilson_interval

TEMPLATE = Path(__file__).with_name("evaluation.html.j2")
MOST_NAMED = 40  # class names that fit beside a confusion matrix
MOST_CONFUSED = 30  # pairs of classes listed on the page


def write_evaluation(folder: Path, evaluation: Evaluation, classifier: Classifier, images: Path) -> None:
    """Write all files of an evaluation to a folder, which is created if necessary.

    Args:
        images: the folder of the evaluated images.
    """
    result, classes = evaluation.result, _classes(evaluation)
    write_json_atomically(
        folder / "evaluation.json",
        {
            "accuracy_interval_95": list(evaluation.interval),
            **result,
            "classnames": classifier.classnames,
            "unreadable": evaluation.unreadable,
            "prompts": classifier.description,
        },
    )
    evaluation.counts.write_images(folder / "predictions.csv", str(images))
    with atomic_path(folder / "per_class.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(classes[0]))
        writer.writeheader()
        writer.writerows(classes)
    pictures = {
        "confusion.png": _confusion(evaluation.counts.confusion.cpu(), classifier.classnames),
        "reliability.png": _reliability(evaluation.counts.bins.cpu()),
    }
    for name, content in pictures.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    page = render(
        TEMPLATE, "Evaluation",
        result=result, interval=evaluation.interval, classes=classes, description=classifier.description,
        confused=_confused(result, classifier.classnames), unreadable=evaluation.unreadable, folder=str(images),
        pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
    )  # fmt: skip
    with atomic_path(folder / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each class: number of images and of correct ones, accuracy and its interval (percent), predictions."""
    predicted = evaluation.counts.confusion.sum(0).tolist()
    rows = []
    for entry, n_predicted in zip(evaluation.result["per_class"], predicted, strict=True):
        total, correct = entry["total"], entry["correct"]
        low, high = wilson_interval(correct, total) if total else (None, None)
        rows.append(
            {
                "class": entry["classname"],
                "images": total,
                "correct": correct,
                "accuracy": round(100 * correct / total, 2) if total else None,
                "low": low and round(low, 2),
                "high": high and round(high, 2),
                "predicted": n_predicted,
            }
        )
    return rows


def _confused(result: dict[str, Any], names: list[str]) -> list[tuple[str, str, int]]:
    """The most frequent confusions: class, predicted class, number of images."""
    wrong = [(label, guess, n) for label, guess, n in result["confusion"] if label != guess]
    wrong.sort(key=lambda cell: (-cell[2], cell[:2]))
    return [(names[label], names[guess], n) for label, guess, n in wrong[:MOST_CONFUSED]]


def _confusion(confusion: Tensor, names: list[str]) -> bytes:
    """Plot of the confusion matrix (n_cls, n_cls); each row sums to 100 % of a class's images."""
    shares = confusion / confusion.sum(1, keepdim=True).clamp_min(1)
    side = 4.5 + 0.12 * min(len(names), MOST_NAMED)
    figure, axes = _figure((side, side))
    image = axes.imshow(100 * shares.numpy(), cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set(xlabel="predicted", ylabel="class")
    if len(names) <= MOST_NAMED:
        short = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
        axes.set_xticks(range(len(names)), short, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(names)), short, parse_math=False)
    figure.colorbar(image, ax=axes, label="% of the class's images", fraction=0.046)
    return _png(figure)


def _reliability(bins: Tensor) -> bytes:
    """Plot of accuracy against confidence; ``bins`` (3, n_bins): images, correct ones, sum of confidences."""
    images, correct, confidence = bins
    filled = images > 0
    n_bins, x = len(images), (confidence[filled] / images[filled]).numpy()
    figure, axes = _figure((5, 5))
    edges = [(i + 0.5) / n_bins for i in range(n_bins)]
    axes.bar(edges, (images / images.sum()).numpy(), width=0.9 / n_bins, color="#c9d8ea", label="fraction of images")
    axes.plot([0, 1], [0, 1], color="#8a929b", linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.plot(x, (correct[filled] / images[filled]).numpy(), color="#0b5cad", marker="o", label="accuracy")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    return _png(figure)


def _figure(size: tuple[float, float]):
    figure = need("matplotlib.figure", "reports", "A figure").Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _png(figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    return stream.getvalue()
