"""From a folder of photos to a classifier on the command line: train, evaluate, words, show, convert."""

import csv
import json
import re
import shlex

import pytest
import torch
from safetensors.torch import load_file

import kdpl
import train
from kdpl.__main__ import main
from kdpl.inference.evaluating import wilson_interval
from kdpl.words import nearest_words, text_movement
from tests.conftest import ROOT
from tests.tiny_datasets import write_jpeg

CLASSNAMES = ["red solid circle", "blue striped square", "<script>"]
DEMO = ["--student", "demo:student", "--teacher", "demo:teacher", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos in folders named after their classes, one of them unreadable, in CoOp's parts train and test."""
    folder = tmp_path_factory.mktemp("commands")
    for part, n in (("train", 4), ("test", 3)):
        for c, name in enumerate(CLASSNAMES):
            for i in range(n):
                write_jpeg(folder / "data" / part / name.replace(" ", "_") / f"{i}.jpg", 10 * c + i, (70 + i, 64))
    (folder / "names.txt").write_text("\n".join(CLASSNAMES))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """What `kdpl train` prints, for a prompt file of two epochs."""
    import contextlib
    import io

    photos = folder / "data" / "train"
    broken = photos / "<script>" / "broken.jpg"
    broken.write_bytes((photos / "<script>" / "0.jpg").read_bytes()[:-300])  # its header is intact
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        arguments = ["train", str(photos), "--classnames", str(folder / "names.txt"), *DEMO, "--epochs", "2"]
        assert main([*arguments, "--output", str(folder / "out" / "prompts.safetensors")]) == 0
    broken.unlink()
    return printed.getvalue()


def test_training_reports_on_photos_classes_and_teacher_before_and_after(trained):
    assert re.search(r"Photos: 12 in .*\nSkipped unreadable files: 1\n  .*broken\.jpg", trained)
    assert "Classes: 3, red solid circle, blue striped square, <script>" in trained
    assert "a photo of a red solid circle. | a photo of a blue striped square. | a photo of a <script>." in trained
    assert "agreement of teacher and student" in trained and "images: teacher" in trained
    accuracy = float(re.search(r"Accuracy with the learned prompts: ([\d.]+)% of 12 labelled photos", trained)[1])
    assert 0 <= accuracy <= 100


def test_the_next_commands_work_as_they_are_printed(trained, folder):
    lines = [line.strip() for line in trained.partition("Next steps:\n")[2].splitlines()]
    assert [shlex.split(line)[3] for line in lines] == ["predict", "words", "export"]
    for line in lines[:2]:  # test_export.py exports
        python, dash_m, name, *arguments = shlex.split(line)
        assert (python, dash_m, name) == ("python", "-m", "kdpl")
        assert main(arguments) == 0
    assert (folder / "out" / "predictions.html").is_file()


def test_labels_change_nothing_about_the_prompts(trained, folder, tmp_path):
    """Photos without folders give the same tensors as photos whose folders are named after classes."""
    photos = tmp_path / "photos"
    for i, source in enumerate(sorted((folder / "data" / "train").rglob("*.jpg"))):
        (photos / f"{i:02}.jpg").parent.mkdir(exist_ok=True)
        (photos / f"{i:02}.jpg").write_bytes(source.read_bytes())
    output = tmp_path / "prompts.safetensors"
    names = ["--classnames", str(folder / "names.txt")]
    assert main(["train", str(photos), *names, *DEMO, "--epochs", "2", "--output", str(output)]) == 0
    one, other = load_file(output), load_file(folder / "out" / "prompts.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("views, n_compared", [("0", 16), ("1", 8)])
def test_teacher_and_student_are_compared_on_few_photos_of_a_short_training(views, n_compared, tmp_path, capsys):
    for i in range(40):
        write_jpeg(tmp_path / "photos" / f"{i}.jpg", i, (64, 64))
    arguments = ["train", str(tmp_path / "photos"), "--classnames", "cat,dog", *DEMO, "--views", views]
    assert main([*arguments, "--epochs", "20", "--output", str(tmp_path / "prompts.safetensors")]) == 0
    assert f"% of {n_compared} training images" in capsys.readouterr().out  # 2 % of 40 photos in 20 epochs or 1 view


def test_class_agnostic_prompts_are_named_in_the_next_commands(folder, tmp_path, capsys):
    output = tmp_path / "prompts.safetensors"
    (tmp_path / "vocabulary.txt").write_text("lamp\ntree\nboat\nred circle")
    photos = folder / "data" / "train"
    arguments = ["train", str(photos), "--vocabulary", str(tmp_path / "vocabulary.txt"), *DEMO, "--epochs", "1"]
    assert main([*arguments, "--output", str(output)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if " words " in line)
    assert main(shlex.split(line)[3:]) == 0
    assert "blue_striped_square" in capsys.readouterr().out
    assert main(["predict", str(output), str(photos)]) == 2
    error = capsys.readouterr().err
    assert "no class names" in error and "--classnames" in error and error.count("\n") == 1


def test_without_names_or_network_the_missing_vocabulary_is_reported_before_a_photo_is_read(
    folder, tmp_path, monkeypatch, capsys
):
    def no_network(*args: object, **options: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("kdpl.distillation.vocabulary.download", no_network)
    arguments = ["train", str(folder / "data" / "train"), *DEMO, "--output", str(tmp_path / "prompts.safetensors")]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err == "error: no network\n" and not said.out


def test_predictions_equal_the_trainers_evaluation(trained, folder, tmp_path):
    """Both compute the same images together, so that not even the last digit differs."""
    (folder / "data" / "classnames.txt").write_text("\n".join(sorted(n.replace(" ", "_") for n in CLASSNAMES)))
    prompts = folder / "out" / "prompts.safetensors"
    arguments = [
        "--root", folder / "data", "--trainer", "CoOp_KDPL", "--output-dir", tmp_path / "dassl", "--eval-only",
        "--model-dir", prompts, "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / "configs/trainers/CoOp_KDPL/demo.yaml", "--backbone", "demo:student",
        "TEST.PER_IMAGE_FILE", "True", "DATALOADER.NUM_WORKERS", "0",
    ]  # fmt: skip
    assert train.main([str(argument) for argument in arguments]) == 0
    with open(next((tmp_path / "dassl").glob("*.csv")), newline="") as file:
        theirs = {row["path"]: row for row in csv.DictReader(file)}
    names = ",".join(sorted(n.replace(" ", "_") for n in CLASSNAMES))
    command = ["predict", str(prompts), str(folder / "data" / "test"), "--classnames", names, "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path / "ours.csv")]) == 0
    with open(tmp_path / "ours.csv", newline="") as file:
        ours = list(csv.DictReader(file))
    assert len(ours) == len(theirs) == 9
    for row in ours:
        path = row.pop("path").removeprefix(f"{folder}/data/")
        assert row.pop("error") == ""
        assert {key: _plain(cell) for key, cell in row.items()} == {key: _plain(theirs[path][key]) for key in row}


def _plain(cell: str) -> str:
    """Dassl's folder names have underscores."""
    return cell.replace("_", " ")


@pytest.fixture(scope="module")
def evaluated(trained, folder):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install matplotlib pyarrow")
    (folder / "data" / "test" / "<script>" / "broken.jpg").write_bytes(b"not a picture")
    output = folder / "evaluation"
    prompts = folder / "out" / "prompts.safetensors"
    arguments = ["evaluate", str(prompts), str(folder / "data" / "test"), "--output", str(output), "--device", "cpu"]
    assert main(arguments) == 0
    (folder / "data" / "test" / "<script>" / "broken.jpg").unlink()
    return output


def test_an_evaluation_counts_what_predict_finds(evaluated, folder):
    found = json.loads((evaluated / "evaluation.json").read_text())
    classifier = kdpl.load(folder / "out" / "prompts.safetensors", device="cpu")
    photos = sorted((folder / "data" / "test").rglob("*.jpg"))
    predictions = classifier.predict(photos)
    correct = sum(
        p.classname == photo.parent.name.replace("_", " ") for p, photo in zip(predictions, photos, strict=True)
    )
    assert (found["correct"], found["total"]) == (correct, 9)
    low, high = found["accuracy_interval_95"]
    assert low < found["accuracy"] < high or correct in (0, 9)
    assert len(found["unreadable"]) == 1
    with open(evaluated / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_1"] for row in rows] == [p.classname for p in predictions]
    assert rows[0]["path"] == "<script>/0.jpg" and rows[0]["label"] == "<script>"
    for name in ("confusion.png", "reliability.png"):
        assert (evaluated / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_of_an_evaluation_is_one_file_in_which_names_are_text(evaluated):
    page = (evaluated / "index.html").read_text()
    assert "&lt;script&gt;" in page and page.count("<script>") == 1  # that of the page's own code
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_wilsons_interval_of_cases_from_the_literature():
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81/263 and 0/20.
    assert wilson_interval(81, 263) == pytest.approx((25.53, 36.62), abs=0.005)
    assert wilson_interval(0, 20) == pytest.approx((0, 16.11), abs=0.005)


def test_folders_that_are_not_classes_are_named(trained, folder, capsys):
    prompts = str(folder / "out" / "prompts.safetensors")
    write_jpeg(folder / "other" / "red solid circel" / "1.jpg")
    assert main(["evaluate", prompts, str(folder / "other")]) == 2
    error = capsys.readouterr().err
    assert "'red solid circel' (did you mean 'red solid circle'?)" in error and error.count("\n") == 1
    write_jpeg(folder / "other" / "2.jpg")
    assert main(["evaluate", prompts, str(folder / "other")]) == 2
    assert "outside class folders" in capsys.readouterr().err


def test_words_of_unlearned_vectors_are_the_ones_they_start_from(trained, folder, capsys):
    classifier = kdpl.load(folder / "out" / "prompts.safetensors", device="cpu")
    tower = classifier.model.clip.towers.text
    tokens = tower.tokenize(["a photo of a"])[0, 1:5]
    with torch.no_grad():
        classifier.model.prompt_learner.ctx.copy_(tower.embedding(tokens))
    words = nearest_words(classifier, 2)
    assert [row[0].word for row in words] == ["a", "photo", "of", "a"]
    assert [row[0].distance for row in words] == [0, 0, 0, 0] and all(row[1].distance > 0 for row in words)
    assert [movement.degrees for movement in text_movement(classifier)] == pytest.approx([0, 0, 0], abs=0.1)
    assert main(["words", str(folder / "out" / "prompts.safetensors"), "--top", "2"]) == 0
    printed = capsys.readouterr().out
    assert "degrees  <script>" in printed and printed.splitlines()[1].startswith("  1  a 0.0")


def test_a_prompt_file_survives_the_way_through_the_published_layout(trained, folder, tmp_path, capsys):
    prompts, checkpoint = folder / "out" / "prompts.safetensors", tmp_path / "model.pth.tar-2"
    assert main(["convert", str(prompts), str(checkpoint)]) == 0
    content = torch.load(checkpoint, weights_only=True)
    assert list(content["state_dict"]) == ["ctx"] and content["epoch"] == 2
    assert main(["convert", str(checkpoint), str(tmp_path / "again.safetensors")]) == 0
    assert (tmp_path / "again.safetensors").read_bytes() == prompts.read_bytes()
    assert main(["convert", str(prompts), str(prompts)]) == 2
    assert "choose another output" in capsys.readouterr().err


def test_another_student_is_refused_by_name(trained, folder, capsys):
    prompts = str(folder / "out" / "prompts.safetensors")
    assert main(["words", prompts, "--student", "demo:teacher"]) == 2
    error = capsys.readouterr().err
    assert "demo:student" in error and "demo:teacher" in error
