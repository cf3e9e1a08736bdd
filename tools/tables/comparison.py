"""Rows of results of one setting on the same test sets, by seed, and their comparison with baselines."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from kdpl.methods import METHODS

from .protocols import OTHER_STUDENT, UNKNOWN_TRAINING, Result
from .records import Setting
from .seed_statistics import Sample, Seed, paired_differences

Item = TypeVar("Item")
ACCURACY, ECE = "accuracy", "ece"


class Part(NamedTuple):
    """One kind of result: a test set, and the number of shots if a row has several."""

    dataset: str
    subsample: str = "all"
    shots: int | None = None


@dataclass(frozen=True)
class Score:
    """The result of one seed on one test set.

    Attributes:
        numbers: percentages by name: ACCURACY and, if it was recorded, ECE.
        splits: hashes of the splits of training and test.
    """

    numbers: Mapping[str, float]
    splits: tuple[str | None, str | None]
    paths: tuple[Path, ...]


@dataclass(eq=False)
class Row:
    """Results that share a setting and test sets.

    Attributes:
        scores: by part and seed.
        test_sets: number of images and hash of the class list of each part.
        conflicts: parts and seeds whose records disagree; they have no score.
        duplicates: parts and seeds with several training runs that agree.
        differs: what distinguishes this row from others with the same method, student and teacher.
    """

    setting: Setting
    scores: dict[Part, dict[Seed, Score]] = field(default_factory=dict)
    test_sets: dict[Part, tuple[int | None, str | None]] = field(default_factory=dict)
    conflicts: dict[tuple[Part, Seed], tuple[Path, ...]] = field(default_factory=dict)
    duplicates: list[tuple[Part, Seed, tuple[Path, ...]]] = field(default_factory=list)
    differs: str = ""

    @property
    def seeds(self) -> set[int]:
        found = {seed for by_seed in self.scores.values() for seed in by_seed} | {seed for _, seed in self.conflicts}
        return found - {None}

    @property
    def all_paths(self) -> set[Path]:
        return {*self.paths(list(self.scores)), *(path for paths in self.conflicts.values() for path in paths)}

    def sample(
        self, parts: Sequence[Part], combine: Callable[[Sequence[float]], float], number: str = ACCURACY
    ) -> Sample:
        """The combined numbers of some parts, for each seed that has all of them."""
        values = {}
        for seed in sorted(set.intersection(*(set(self.scores.get(part, ())) for part in parts)), key=str):
            numbers = [self.scores[part][seed].numbers.get(number) for part in parts]
            if None not in numbers:
                values[seed] = combine(numbers)
        return Sample(values)

    def paths(self, parts: Sequence[Part]) -> list[Path]:
        return sorted({p for part in parts for score in self.scores.get(part, {}).values() for p in score.paths})


def rows_of(results: Sequence[Result], part_of: Callable[[Result], Part]) -> list[Row]:
    """One row per setting, or several if its results come from different test sets."""
    by_setting: dict[Setting, list[Result]] = defaultdict(list)
    for result in results:
        by_setting[result.setting].append(result)

    def test_sets(members: Sequence[Result]) -> dict[Part, tuple[int | None, str | None]]:
        return {part_of(result): result.evaluation.test_set for result in members}

    rows = []
    for setting, members in by_setting.items():
        by_prompts: dict[str, list[Result]] = defaultdict(list)
        for result in members:  # results of the same prompts stay together
            by_prompts[result.prompts or str(result.path)].append(result)
        bundles = [
            bundle for group in by_prompts.values() for bundle in _agreeing(group, lambda result: test_sets([result]))
        ]
        for variant in _agreeing(bundles, test_sets):
            rows.append(_row(setting, [result for bundle in variant for result in bundle], part_of))
    students = {row.setting.backbone for row in rows if not row.setting.zero_shot}
    rows.sort(key=lambda row: _order(row.setting, students))
    _tell_apart(rows)
    return rows


def _agreeing(items: Sequence[Item], facts_of: Callable[[Item], dict]) -> list[list[Item]]:
    """Groups without contradictions: each item joins the first group that agrees on all the facts they share."""
    groups: list[tuple[dict, list[Item]]] = []
    for item in items:
        facts = facts_of(item)
        for known, members in groups:
            if all(known.get(key, value) == value for key, value in facts.items()):
                known.update(facts)
                members.append(item)
                break
        else:
            groups.append((dict(facts), [item]))
    return [members for _, members in groups]


def _row(setting: Setting, results: Sequence[Result], part_of: Callable[[Result], Part]) -> Row:
    row = Row(setting)
    cells: dict[tuple[Part, Seed], list[Result]] = defaultdict(list)
    for result in results:
        part = part_of(result)
        row.test_sets[part] = result.evaluation.test_set
        cells[part, result.seed].append(result)
    for (part, seed), same in cells.items():
        paths = tuple(dict.fromkeys(result.path for result in same))
        accuracies = {result.evaluation.accuracy for result in same}
        if len(accuracies) > 1:
            row.conflicts[part, seed] = paths
            continue
        if len({result.prompts for result in same}) > 1:
            row.duplicates.append((part, seed, paths))
        splits = (same[0].split_sha256, same[0].evaluation.split_sha256)
        ece = next((one.evaluation.details[ECE] for one in same if ECE in one.evaluation.details), None)
        numbers = {ACCURACY: accuracies.pop()} | ({} if ece is None else {ECE: ece})
        row.scores.setdefault(part, {})[seed] = Score(numbers, splits, paths)
    return row


def method_order(name: str) -> int:
    """The position of a method in METHODS; unknown ones come last."""
    names = list(METHODS)
    return names.index(name) if name in names else len(names)


def _order(setting: Setting, students: Collection[str]) -> tuple:
    """Zero-shot rows first, students before teachers; then by method, labels before KDPL."""
    place = method_order(setting.base_method)
    agnostic = setting.classnames == "vocabulary"
    if setting.zero_shot:
        return 0, setting.backbone not in students, setting.backbone, setting.trainer, str(setting)
    return 1, place, setting.base_method, setting.distilled, agnostic, setting.backbone, str(setting)


# How a row is labelled


def name_of(row: Row) -> str:
    """The method, and what distinguishes this row from others of the same method."""
    return method_of(row.setting) + (f" ({row.differs})" if row.differs else "")


def method_of(setting: Setting) -> str:
    """As in papers: CoOp, CoOp + KDPL, and KDPL-CA if class-agnostic."""
    if setting.zero_shot:
        return "CLIP, zero-shot" if setting.trainer == "ZeroshotCLIP" else "CLIP, zero-shot, 7 templates"
    agnostic = "-CA" if setting.classnames == "vocabulary" else ""
    return f"{setting.base_method} + KDPL{agnostic}" if setting.distilled else setting.trainer


def saw(setting: Setting) -> str:
    """What the training learned from."""
    if setting.zero_shot:
        return "nothing"
    if setting.labels_used is None:
        return "not recorded"
    if setting.labels_used:
        return "labels"
    names = {"dataset": "class names", "vocabulary": "a vocabulary", None: "names not recorded"}[setting.classnames]
    return f"{names}, teacher {short(setting.teacher or 'not recorded')}"


def short(model: str) -> str:
    """The name of a CLIP; for a file, without its folders."""
    return Path(model).name if model.endswith((".pt", ".pth", ".safetensors")) else model


def _tell_apart(rows: Sequence[Row]) -> None:
    """Fill in ``differs`` for rows that would otherwise have the same label."""
    alike: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        alike[method_of(row.setting), saw(row.setting), row.setting.backbone].append(row)
    for group in alike.values():
        facts = [_facts(row) for row in group]
        for row, own in zip(group, facts, strict=True):
            differing = {
                key: value
                for key, value in own.items()
                if any(key in other and other[key] != value for other in facts)
                or key.isupper()
                and any(key not in other for other in facts)
            }
            texts = [row.setting.origin] * bool(row.setting.origin)
            texts += [f"{key} {value}" for key, value in differing.items()]
            row.differs = "; ".join(texts[:4] + [f"and {len(texts) - 4} more"] * (len(texts) > 4))


def _facts(row: Row) -> dict[str, str]:
    facts = {f"weights of the {role}": sha256[:8] for role, sha256 in row.setting.weights}
    facts |= dict(row.setting.options)
    for part, (total, classnames) in row.test_sets.items():
        name = " ".join(str(value) for value in part if value not in (None, "all"))
        facts[f"test images of {name}"] = "not recorded" if total is None else str(total)
        facts[f"class list of {name}"] = (classnames or "not recorded")[:12]
    return facts


# Baselines


def baseline_of(row: Row, rows: Sequence[Row], trainer: str | None = None) -> tuple[Row | None, str]:
    """The row to compare with: for KDPL the same method with labels, otherwise the zero-shot student.

    Args:
        trainer: the baseline for all rows instead.

    Returns:
        The row, if there is exactly one, and its name; the name is empty if there is nothing to compare with.
    """
    unknown = row.setting.origin in (UNKNOWN_TRAINING, OTHER_STUDENT)
    if row.setting.zero_shot or row.setting.trainer == trainer or unknown:
        return None, ""
    names = [trainer] if trainer else [row.setting.base_method] * row.setting.distilled + ["ZeroshotCLIP"]
    for wanted in names:
        candidates = [other for other in rows if other.setting.trainer == wanted and _same_student(row, other)]
        if candidates:
            break
    if len(candidates) > 1:
        candidates = [other for other in candidates if _same_options(other.setting, row.setting)]
    return (candidates[0] if len(candidates) == 1 else None), method_of(
        replace(row.setting, trainer=wanted, classnames="dataset")
    )


def _same_student(row: Row, other: Row) -> bool:
    student, others = ((one.setting.backbone, dict(one.setting.weights).get("student")) for one in (row, other))
    same = student == others and row.setting.origin == other.setting.origin
    return same and other is not row and other.setting.classnames != "vocabulary"


def _same_options(first: Setting, second: Setting) -> bool:
    ours, others = dict(first.options), dict(second.options)
    return all(ours[key] == others[key] for key in ours.keys() & others.keys())


def difference(
    row: Row,
    baseline: Row,
    parts: Sequence[Part],
    combine: Callable[[Sequence[float]], float],
    number: str = ACCURACY,
) -> Sample:
    """Ours minus the baseline's, for the seeds in which both had the same training split and test images."""
    if any(row.test_sets.get(part) != baseline.test_sets.get(part) for part in parts):
        return Sample({})
    ours, others = (one.sample(parts, combine, number).by_seed for one in (row, baseline))
    comparable = {s: value for s, value in ours.items() if all(_same_splits(row, baseline, part, s) for part in parts)}
    return paired_differences(comparable, others)


def _same_splits(row: Row, baseline: Row, part: Part, seed: Seed) -> bool:
    learned = not baseline.setting.zero_shot
    other = baseline.scores[part].get(seed if learned else None)
    if other is None:
        return False
    ours = row.scores[part][seed]
    return ours.splits[1] == other.splits[1] and (ours.splits[0] == other.splits[0] or not learned)
