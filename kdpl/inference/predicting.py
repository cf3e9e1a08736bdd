"""Classifying images into a table and a page, with bounded memory, and resuming after interruptions."""

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..classifier import BATCH, Classifier
from ..fingerprints import fingerprint, tensors_fingerprint
from ..locks import one_at_a_time
from .items import Item, check_sources, count_items, each_item, in_batches
from .journal import Journal
from .loading import Batch, default_workers, load_batches
from .report import check_report, write_report
from .rows import Row, check_table, write_table

Engine = Callable[[Iterable[list[Item]], int], Iterator[list[Row]]]  # batches of items, top -> their rows, in order


def classify(classifier: Classifier, batches: Iterable[Batch], top: int) -> Iterator[list[Row]]:
    """Classify batches; yields one list of rows per batch."""
    waiting: deque[Batch] = deque()

    def images() -> Iterator[Tensor]:
        for batch in batches:
            waiting.append(batch)
            yield batch.images

    for logits in classifier.each_logits(images()):
        batch = waiting.popleft()
        values, indices = logits.double().softmax(dim=-1).topk(min(top, len(classifier.classnames)))
        yield [
            Row(item.name, [], error)
            if error
            else Row(item.name, [(c, round(p, 6)) for c, p in zip(classes, probabilities, strict=True)])
            for item, error, classes, probabilities in zip(
                batch.items, batch.errors, indices.tolist(), values.tolist(), strict=True
            )
        ]


def local_engine(classifier: Classifier, n_workers: int) -> Engine:
    """An engine that computes in this process, with loader processes."""

    def run(batches: Iterable[list[Item]], top: int) -> Iterator[list[Row]]:
        size = classifier.model.clip.preprocessing.size
        yield from classify(classifier, load_batches(batches, classifier.transform, size, n_workers), top)

    return run


def predict_rows(
    classifier: Classifier,
    sources: Sequence[str],
    *,
    top: int = 1,
    batch_size: int = BATCH,
    n_workers: int | None = None,
    engine: Engine | None = None,
    progress: bool = True,
) -> Iterator[Row]:
    """Classify images batch by batch; yields rows in input order.

    Args:
        sources: as :func:`each_item` takes them.
        batch_size: images per forward pass.
        n_workers: number of loader processes; see :func:`default_workers`.
        engine: where to compute; by default in this process.

    Raises:
        FileNotFoundError, ValueError: before anything is computed, if sources do not exist or contain no images.
    """
    check_sources(sources)
    total = count_items(sources)
    engine = engine or local_engine(classifier, _workers(n_workers, classifier, total, batch_size))
    with tqdm(total=total, unit="image", disable=None if progress else True) as bar:
        for rows in engine(in_batches(each_item(sources), batch_size), top):
            bar.update(len(rows))
            yield from rows


def predict_to_files(
    classifier: Classifier,
    sources: Sequence[str],
    *,
    output: Path | None = None,
    report: Path | None = None,
    top: int = 5,
    batch_size: int = BATCH,
    n_workers: int | None = None,
    engine: Engine | None = None,
    progress: bool = True,
) -> tuple[int, int]:
    """Classify images and write a table, a page, or both.

    Finished batches are kept in a journal beside the first output file until all output is written. After an
    interruption, the same call resumes from the journal and writes the same bytes.

    Args:
        output: .csv, .json or .parquet.
        report: .html.

    Returns:
        The number of images, and how many of them could not be read.

    Raises:
        FileNotFoundError, ValueError: before anything is computed, if sources do not exist or contain no images, an
            output file cannot be written, or the journal belongs to other arguments.
    """
    check_table(output)
    check_report(report)
    check_sources(sources)
    file = next(path for path in (output, report) if path)
    top = min(top, len(classifier.classnames))
    lock = Path(tempfile.gettempdir(), f"kdpl-{hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]}.lock")
    with one_at_a_time(lock, f"Another process is writing {file}; waiting for it to finish."):
        settings = _settings(classifier, sources, top, batch_size)
        with closing(Journal(file.with_name(f"{file.name}.journal"), settings)) as journal:
            n_images, n_unreadable = _fill(journal, classifier, sources, top, batch_size, n_workers, engine, progress)
            if output:
                write_table(output, journal.rows(), classifier.classnames, top)
            if report:
                write_report(report, journal.rows, sources, classifier)
            journal.remove()
    return n_images, n_unreadable


def _fill(
    journal: Journal,
    classifier: Classifier,
    sources: Sequence[str],
    top: int,
    batch_size: int,
    n_workers: int | None,
    engine: Engine | None,
    progress: bool,
) -> tuple[int, int]:
    """Compute the batches missing from the journal; returns the numbers of images and of unreadable ones."""
    total = count_items(sources)
    engine = engine or local_engine(classifier, _workers(n_workers, classifier, total, batch_size))
    batches = in_batches(each_item(sources), batch_size)
    n_images = n_unreadable = 0
    for rows in journal.batches():
        journal.check_batch(next(batches, []), rows)
        n_images, n_unreadable = n_images + len(rows), n_unreadable + sum(row.error is not None for row in rows)
    with tqdm(total=total, initial=n_images, unit="image", disable=None if progress else True) as bar:
        if n_images:
            bar.write(f"Resuming after {n_images:,} images from {journal.file.name}")
        for rows in engine(batches, top):
            journal.append(rows)
            bar.update(len(rows))
            n_images, n_unreadable = n_images + len(rows), n_unreadable + sum(row.error is not None for row in rows)
    return n_images, n_unreadable


def _workers(n_workers: int | None, classifier: Classifier, n_images: int | None, batch_size: int) -> int:
    return default_workers(classifier.model.device, n_images, batch_size) if n_workers is None else n_workers


def _settings(classifier: Classifier, sources: Sequence[str], top: int, batch_size: int) -> dict[str, Any]:
    """Everything the rows depend on, except the images."""
    return {
        "prompts": tensors_fingerprint(classifier.model.prompt_learner.state_dict()),
        "student": classifier.model.clip.fingerprint,
        "classnames": fingerprint(classifier.classnames),
        "device": classifier.model.device.type,
        "precision": classifier.model.precision.name,
        "images": list(sources),
        "top": top,
        "batch_size": batch_size,
    }
