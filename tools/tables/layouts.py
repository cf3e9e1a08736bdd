"""The tables for a set of results, with their protocols, rows and columns."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from tools.sweep.protocols import FEW_SHOTS

from .cells import Column, Table, fill
from .comparison import Part, rows_of
from .protocols import ELEVEN, SHIFTED, Result
from .seed_statistics import harmonic_mean_of_averages

BASE_TO_NEW, CROSS_DATASET, DOMAINS = "base to new", "cross-dataset", "domain generalisation"
FEW_SHOT, ZERO_SHOT = "few-shot", "zero-shot"
ABOUT_CALIBRATION_ERROR = (
    "ECE: expected calibration error in percent, over 15 bins of confidence; lower is better. Harmonic means have "
    "none, and neither do results from before it was recorded."
)


def all_tables(results: Sequence[Result], baseline: str | None = None, calibration_error: bool = False) -> list[Table]:
    """Every table that has at least one result.

    Args:
        baseline: trainer to compare all rows with; see :func:`comparison.baseline_of`.
        calibration_error: add a column with it for each column of accuracies.
    """
    tables = [*_base_to_new(results), *_transfer(results), *_few_shot(results)]
    shown = {path for table in tables for path in table.paths}
    tables += _zero_shot_alone([result for result in _zero_shot(results) if result.path not in shown])
    for table in tables:
        if calibration_error:
            table.columns += [column.of_calibration_error() for column in table.columns if column.combine is fmean]
            table.notes.append(ABOUT_CALIBRATION_ERROR)
        fill(table, baseline)
    return tables


def _base_to_new(results: Sequence[Result]) -> list[Table]:
    own_halves = [result for result in results if result.evaluation.subsample in ("base", "new")]
    tables = []
    for shots in _distinct(result.shots for result in own_halves):
        here = [
            result
            for result in own_halves
            if result.shots in (shots, None) and result.source in (result.evaluation.dataset, None)
        ]
        own = [result for result in here if not result.setting.zero_shot]
        datasets, first = _distinct(result.evaluation.dataset for result in own), len(tables)
        together = _base_and_new_together(results, shots)
        for dataset in datasets:
            members = [result for result in [*here, *together] if result.evaluation.dataset == dataset]
            title = f"Base to new: {dataset}, {in_shots(shots)}"
            columns = halves([dataset], dataset, together)
            tables.append(table_of(BASE_TO_NEW, title, members, columns, dataset, shots))
        averaged = [dataset for dataset in ELEVEN if dataset in datasets]
        if len(averaged) > 1:
            members = [result for result in [*here, *together] if result.evaluation.dataset in averaged]
            published = "Average_11" if len(averaged) == len(ELEVEN) else None
            title = f"Base to new: average over {len(averaged)} of 11 datasets, {in_shots(shots)}"
            table = table_of(BASE_TO_NEW, title, members, halves(averaged, published, together), None, shots)
            table.notes.append("Datasets: " + ", ".join(averaged) + ".")
            tables.insert(first, table)
    return tables


def _base_and_new_together(results: Sequence[Result], shots: int) -> list[Result]:
    """Results on all classes, of prompts trained on the base classes and of zero-shot CLIP."""
    whole = [result for result in results if result.evaluation.subsample == "all"]
    own = [
        result
        for result in whole
        if (result.source, result.source_classes, result.shots) == (result.evaluation.dataset, "base", shots)
    ]
    datasets = {result.source for result in own}
    return own + [result for result in _zero_shot(whole) if result.evaluation.dataset in datasets]


def halves(datasets: Sequence[str], published: str | None, together: Sequence[Result] = ()) -> list[Column]:
    """Base, new, harmonic mean and, if every dataset has results on it, all classes; averaged over datasets.

    Args:
        published: the name of the dataset or average in published tables.
        together: results on all classes.
    """
    base, new, every = (tuple(Part(dataset, part) for dataset in datasets) for part in ("base", "new", "all"))
    tested_together = {result.evaluation.dataset for result in together}

    def name(metric: str) -> tuple[str, str] | None:
        return (published, metric) if published else None

    return [
        Column("base", base, fmean, name("base")),
        Column("new", new, fmean, name("new")),
        Column("harmonic mean", base + new, harmonic_mean_of_averages, name("harmonic mean")),
        *[Column("all classes", every)] * tested_together.issuperset(datasets),
    ]


def _transfer(results: Sequence[Result]) -> list[Table]:
    """Cross-dataset and domain generalisation: prompts of one dataset tested on all classes of others."""
    whole = [result for result in results if result.evaluation.subsample == "all"]
    tables = []
    for source, classes, shots in _distinct(
        (result.source, result.source_classes, result.shots) for result in whole if not result.setting.zero_shot
    ):
        trained = [r for r in whole if (r.source, r.source_classes, r.shots) == (source, classes, shots)]
        tested = _distinct(result.evaluation.dataset for result in trained)
        shifted = SHIFTED.get(source or "", ())
        targets = {
            DOMAINS: [dataset for dataset in shifted if dataset in tested],
            CROSS_DATASET: [dataset for dataset in tested if dataset not in (*shifted, source)],
        }
        for protocol, found in targets.items():
            if not found:
                continue
            columns = [Column(source, (Part(source),), fmean, (source, "accuracy"))] if source in tested else []
            columns += [Column(dataset, (Part(dataset),), fmean, (dataset, "accuracy")) for dataset in found]
            averaged = list(shifted) if protocol == DOMAINS else found
            if len(averaged) > 1:
                columns.append(_average(averaged, protocol, source))
            datasets = {part.dataset for column in columns for part in column.parts}
            members = [r for r in [*trained, *_zero_shot(whole)] if r.evaluation.dataset in datasets]
            of = f"{source or 'a training that was not found'}{' (base classes)' * (classes == 'base')}"
            title = f"{protocol.capitalize()}: prompts of {of}, {in_shots(shots)}"
            tables.append(table_of(protocol, title, members, columns, source, shots))
    return tables


def _average(datasets: Sequence[str], protocol: str, source: str | None) -> Column:
    published = None
    if source == "ImageNet":
        complete = set(ELEVEN) - {"ImageNet"} == set(datasets)
        published = "Average_4_targets" if protocol == DOMAINS else "Average_10" if complete else None
    parts = tuple(Part(dataset) for dataset in datasets)
    return Column(f"average of {len(parts)}", parts, fmean, (published, "accuracy") if published else None)


def _few_shot(results: Sequence[Result]) -> list[Table]:
    """Accuracy against shots; a single number of shots gets a table only if no other table shows it."""
    own = [result for result in results if result.evaluation.subsample == "all" and result.source_classes == "all"]
    tables = []
    for dataset in _distinct(result.source for result in own):
        trained = [r for r in own if r.source == dataset == r.evaluation.dataset]
        shots = {result.shots for result in trained}
        elsewhere = any(r.source == dataset != r.evaluation.dataset for r in own)
        if not shots or (len(shots) == 1 and elsewhere):
            continue
        zero_shot = [
            r for r in _zero_shot(results) if (r.evaluation.dataset, r.evaluation.subsample) == (dataset, "all")
        ]
        shown = sorted({*FEW_SHOTS, *shots} if shots & {*FEW_SHOTS} else shots)
        columns = [Column(str(n) if n > 0 else "all", (Part(dataset, "all", n),)) for n in shown]
        members = [*trained, *(replace(result, shots=n) for result in zero_shot for n in shown)]
        tables.append(table_of(FEW_SHOT, f"Few-shot: {dataset}, images per class", members, columns, dataset, None))
    return tables


def _zero_shot_alone(results: Sequence[Result]) -> list[Table]:
    """Zero-shot results that no other table shows."""
    columns = [
        Column(" ".join(word for word in (dataset, half) if word != "all"), (Part(dataset, half),))
        for dataset, half in _distinct((result.evaluation.dataset, result.evaluation.subsample) for result in results)
    ]
    title = "Zero-shot, all test sets without trained prompts"
    return [table_of(ZERO_SHOT, title, results, columns, None, None)] if columns else []


def _zero_shot(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.setting.zero_shot]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The distinct values in order, without None (which may still occur inside tuples)."""
    return sorted({value for value in values if value is not None}, key=_key)


def _key(value: Any) -> tuple:
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    return (0, value, "") if isinstance(value, int) else (1, 0, str(value))


def in_shots(shots: int | None) -> str:
    """The number of training images per class, in words."""
    return f"{shots} shot{'s' * (shots != 1)}" if shots is not None and shots > 0 else "all images"


def table_of(
    protocol: str,
    title: str,
    results: Sequence[Result],
    columns: list[Column],
    source: str | None,
    shots: int | None,
) -> Table:
    """A table with these columns and a row for each setting; its cells are not filled yet."""

    def part_of(result: Result) -> Part:
        evaluation = result.evaluation
        return Part(evaluation.dataset, evaluation.subsample, result.shots if protocol == FEW_SHOT else None)

    return Table(protocol, title, source, shots, columns, rows_of(results, part_of))
