"""Files and results of earlier code, replayed with today's; see tests/regression/README.md."""

import json
import math
import shutil
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train

from .regression import runs
from .regression.runs import EPOCHS, RUNS, STORE, TRAININGS

TOLERANCE = 1e-5  # of the norm of a tensor; one epoch changes stored prompts by more than 1e-2 of it
EDITIONS = {file.parent.name: json.loads(file.read_text()) for file in sorted(STORE.glob("*/edition.json"))}
MADE_ON = runs.made_on()
# Facts of a record that depend on folder, machine and time, or on bits that may differ within the tolerance.
VARIABLE = ("config", "device", "versions", "phases", "prompts_sha256")


def stored(names: Collection[str]) -> pytest.MarkDecorator:
    """Parametrise a test by edition and run."""
    cases = [(edition, run) for edition, facts in EDITIONS.items() for run in facts["runs"] if run in names]
    return pytest.mark.parametrize("edition, name", cases, ids=["-".join(case) for case in cases])


@pytest.fixture(autouse=True)
def as_when_stored(monkeypatch, tmp_path):
    """Work in the repository's root, to which stored paths are relative, on one thread and without cached features."""
    monkeypatch.chdir(runs.ROOT)
    monkeypatch.setenv("KDPL_TRACEBACK", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with runs.one_thread():
        yield


def expects_bits(edition: str, name: str) -> bool:
    """Whether the edition promises this run bit for bit, and this is the kind of machine that it was made on.

    Where numbers have changed on purpose, a later edition gives the new bits and supersedes this one.
    """
    facts = EDITIONS[edition]
    superseded = any(edition in f.get("supersedes", ()) and name in f["runs"] for f in EDITIONS.values())
    return facts["exact"] and facts["made_on"] == MADE_ON and not superseded


def check_tensors(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], exact: bool) -> None:
    """Compare bit for bit if ``exact``, else within the tolerance."""
    assert runs.distance(found, expected) <= (0.0 if exact else TOLERANCE)


def check_record(file: Path, expected_file: Path) -> None:
    """Check that the new record has all facts of the stored one; it may have more."""
    text, expected_text = file.read_text(), expected_file.read_text()
    if '"Folder images"' not in expected_text:  # the first edition did not name collections
        text = text.replace('"Folder images"', '"Folder"')
    found, expected = json.loads(text), json.loads(expected_text)
    facts = {fact: value for fact, value in expected.items() if fact not in VARIABLE}
    assert known_facts(found, facts) == facts
    assert found["phases"].keys() == expected["phases"].keys()


def known_facts(found: object, expected: object) -> object:
    """The part of ``found`` whose keys are expected, at any depth."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return {key: known_facts(found.get(key), value) for key, value in expected.items()}
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [known_facts(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]
    if isinstance(expected, float) and math.isclose(found, expected, rel_tol=1e-4):
        return expected  # of probabilities, such as the calibration error
    return found


@stored(RUNS)
def test_stored_prompts_give_the_stored_logits_and_counts(edition, name, tmp_path):
    store = STORE / edition / name
    logits = load_file(STORE / edition / "logits.safetensors")
    cases = {f"evaluation-{epoch}": (f"{name}/{epoch}", runs.evaluation(store, epoch)) for epoch in (1, 2)}
    if name not in TRAININGS:
        cases = {"": (name, ("--eval-only",))}
    for folder, (key, flags) in cases.items():
        found = runs.evaluate(runs.command(RUNS[name], tmp_path / folder, *flags))
        check_tensors({key: found}, {key: logits[key]}, expects_bits(edition, name))
        record, stored_record = tmp_path / folder / "results.json", store / folder / "results.json"
        check_record(record, stored_record)
        prompts = [json.loads(file.read_text())["prompts_sha256"] for file in (record, stored_record)]
        assert prompts[0] == prompts[1]  # prompts are only loaded here, so the hash is the same on any machine


@stored(TRAININGS)
def test_a_stored_interrupted_run_ends_with_the_stored_prompts(edition, name, tmp_path, capsys):
    store = STORE / edition / name
    shutil.copytree(store, tmp_path / "run", ignore=shutil.ignore_patterns("*-2", "results.json", "evaluation-*"))
    assert train.main(runs.command(RUNS[name], tmp_path / "run")) == 0
    assert "after epoch 1" in capsys.readouterr().out
    check_training(tmp_path / "run", store, expects_bits(edition, name))


@stored([name for name, run in TRAININGS.items() if run.starts_from_words])
def test_a_training_that_starts_from_words_ends_with_the_stored_prompts(edition, name, tmp_path):
    store = STORE / edition / name
    assert train.main(runs.command(RUNS[name], tmp_path)) == 0
    check_tensors(runs.read_prompts(tmp_path, 1), runs.read_prompts(store, 1), expects_bits(edition, name))
    check_training(tmp_path, store, expects_bits(edition, name))


def check_training(folder: Path, store: Path, exact: bool) -> None:
    """Compare the files of a training run with the stored prompts, record and facts about the prompts."""
    check_tensors(runs.read_prompts(folder, EPOCHS), runs.read_prompts(store, EPOCHS), exact)
    check_record(folder / "results.json", store / "results.json")
    written, expected = (torch.load(runs.prompt_file(place, EPOCHS), weights_only=True) for place in (folder, store))
    assert written.keys() >= expected.keys()  # a later edition may say more
    for key in expected.keys() - {"state_dict"}:
        ours, theirs = written[key], expected[key]
        if key == "description":
            ours, theirs = ({**json.loads(text), "versions": None} for text in (ours, theirs))
        assert ours == theirs


@stored(RUNS)
def test_stored_results_are_recognised_as_finished(edition, name, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(STORE / edition / name, run)
    before = files_of(run)
    commands = [runs.command(RUNS[name], run, "--skip-finished", "--eval-only")]
    if name in TRAININGS:
        flags = ("--skip-finished", *runs.evaluation(run, EPOCHS))
        commands = [
            runs.command(RUNS[name], run, "--skip-finished"),
            runs.command(RUNS[name], run / f"evaluation-{EPOCHS}", *flags),
        ]
    for arguments in commands:
        assert train.main(arguments) == 0
    assert files_of(run) == before


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of all files."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_every_stored_run_is_replayed():
    assert "first_edition" in EDITIONS
    for edition, facts in EDITIONS.items():
        assert set(facts["runs"]) <= RUNS.keys()
        assert {folder.name for folder in (STORE / edition).iterdir() if folder.is_dir()} == set(facts["runs"])
