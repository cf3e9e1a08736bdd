"""Training on your own images through the command line: without labels, without names, test images unopened."""

import json
import shutil

import pytest
import torch
from PIL import Image

import train
from tests.tiny_datasets import write_jpeg

NAMES = ["red solid circle", "blue striped square", "green dotted star"]


def command(root, output, *pairs, trainer="CoOp_KDPL"):
    return [
        "--root", str(root), "--output-dir", str(output), "--seed", "1", "--trainer", trainer,
        "--dataset-config-file", "configs/datasets/folder.yaml",
        "--config-file", f"configs/trainers/{trainer}/demo.yaml", "--backbone", "demo:student",
        "OPTIM.MAX_EPOCH", "1", "DATALOADER.TRAIN_X.BATCH_SIZE", "4", "DATALOADER.NUM_WORKERS", "0", *map(str, pairs),
    ]  # fmt: skip


def prompts(output):
    path = next((output / "prompt_learner").glob("model.pth.tar-*"))
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def photos(tmp_path):
    """Twelve unlabelled images and a file of names."""
    root = tmp_path / "photos"
    for n in range(12):
        write_jpeg(root / f"{n:02}.jpg", n, size=(64, 64))
    (root / "classnames.txt").write_text("\n".join(NAMES))
    return root


def test_unlabelled_photos_give_the_prompts_that_any_labels_would_give(photos, tmp_path, capsys):
    assert train.main(command(photos, tmp_path / "none")) == 0
    printed = capsys.readouterr().out
    assert "Images for training: 0 labelled, 12 unlabelled" in printed and "Prompts: a photo of a red solid" in printed
    assert "agreement of teacher and student" in printed and "nothing to evaluate" in printed
    record = json.loads((tmp_path / "none" / "results.json").read_text())
    assert record["visible"] == {"train_images": 12, "labels_used": False, "classnames": "dataset"}
    assert record["evaluations"] == [] and record["dataset"] == "Folder photos"
    assert "# classes  3\n# train_x  12\n# test     0\n" in printed
    rows = [f"{n:02}.jpg,{NAMES[n % 3]},train" for n in range(12)] + [f"{n:02}.jpg,{NAMES[0]},test" for n in range(3)]
    (photos / "labels.csv").write_text("path,label,split\n" + "\n".join(rows))
    assert train.main(command(photos, tmp_path / "some")) == 0
    unlabelled, labelled = prompts(tmp_path / "none"), prompts(tmp_path / "some")
    assert unlabelled.keys() == labelled.keys()
    assert all(torch.equal(unlabelled[name], labelled[name]) for name in unlabelled)


def test_the_test_set_stays_closed_during_training(photos, tmp_path, capsys):
    root = tmp_path / "parts"
    shutil.copytree(photos, root / "train", ignore=shutil.ignore_patterns("classnames.txt"))
    for name in NAMES:
        write_jpeg(root / "test" / name.replace(" ", "_") / "0.jpg", size=(64, 64))
    assert train.main(command(root, tmp_path / "before", "TEST.NO_TEST", "True")) == 0
    for path in (root / "test").rglob("*.jpg"):
        path.write_bytes(b"unreadable")
    assert train.main(command(root, tmp_path / "after", "TEST.NO_TEST", "True")) == 0
    before, after = prompts(tmp_path / "before"), prompts(tmp_path / "after")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train.main(command(root, tmp_path / "tested")) == 2  # reported before training, not after it
    assert "error: None of the test images" in capsys.readouterr().err


def test_accuracies_are_reported_before_training_if_there_are_labels(photos, tmp_path, capsys):
    rows = [f"{n:02}.jpg,{NAMES[n % 3]},{'train' if n < 9 else 'test'}" for n in range(12)]
    (photos / "labels.csv").write_text("path,label,split\n" + "\n".join(rows))
    assert train.main(command(photos, tmp_path / "train", "TEST.NO_TEST", "True")) == 0
    assert "Zero-shot accuracy on a sample of training images: teacher" in capsys.readouterr().out
    (photos / "labels.csv").unlink()
    for part in ("train", "val"):  # without labels, both
        shutil.copytree(photos, tmp_path / "parts" / part, ignore=shutil.ignore_patterns("*.txt", ".*"))
    shutil.copy(photos / "classnames.txt", tmp_path / "parts")
    assert train.main(command(tmp_path / "parts", tmp_path / "val")) == 0
    printed = capsys.readouterr().out
    assert "agreement of teacher and student" in printed and "on a sample" not in printed


def test_no_names_at_all_train_class_agnostic(photos, tmp_path, capsys):
    (photos / "classnames.txt").unlink()
    (photos / "deep.png").write_bytes(b"broken")
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("\n".join([*NAMES, "red striped star", "blue solid circle"]))
    pairs = ("TRAINER.KDPL.CLASS_AGNOSTIC", "True", "TRAINER.KDPL.VOCABULARY", vocabulary, "TRAINER.KDPL.K_MAX", 3)
    assert train.main(command(photos, tmp_path / "out", *pairs)) == 0
    printed = capsys.readouterr().out
    assert "Classes: unknown; training is class-agnostic" in printed and "deep.png: not an image" in printed
    assert "# classes  unknown\n" in printed and printed.splitlines()[-1].endswith("PHOTO --classnames FILE")
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["visible"]["classnames"] == "vocabulary"
    assert train.main(command(photos, tmp_path / "named")) == 2
    assert "CLASS_AGNOSTIC True" in capsys.readouterr().err


def test_training_without_the_needed_labels_is_refused(photos, tmp_path, capsys):
    assert train.main(command(photos, tmp_path / "out", trainer="CoOp")) == 2
    message = "CoOp learns from labels, but training images of Folder photos have none. Use CoOp_KDPL"
    assert message in capsys.readouterr().err
    assert train.main([*command(photos, tmp_path / "eval")[:-6], "--eval-only"]) == 2
    message = "no labelled test images, so there is nothing to evaluate. Set DATASET.FOLDER.DIVIDE True"
    assert message in capsys.readouterr().err


def test_cifar10_labelled_through_the_real_command_line(shared, tmp_path, run_train):
    """Odd files of every kind lie next to real photos; those that cannot be read are named and left out."""
    root = tmp_path / "cifar10"
    for path in sorted((shared / "data" / "mini" / "cifar10").glob("t*/*/*.jpg"))[::20]:
        target = root / path.relative_to(shared / "data" / "mini" / "cifar10")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    Image.new("I;16", (40, 40), 30000).save(root / "train" / "cat" / "sixteen_bits.png")
    Image.new("CMYK", (40, 40)).save(root / "train" / "cat" / "cmyk.jpg")
    (root / "train" / "dog" / "empty.jpg").write_bytes(b"")
    done = run_train(*command(root, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "Skipped unreadable files: 1\n  train/dog/empty.jpg: empty, 0 bytes\n" in done.stdout
    result = json.loads((tmp_path / "out" / "results.json").read_text())["evaluations"][0]
    assert result["total"] == len(list((root / "test").rglob("*.jpg"))) and len(result["per_class"]) == 10


def test_collections_have_names_so_that_their_results_stay_apart(tmp_path, capsys):
    for place, *pairs in (
        ("birds",), ("insects", "DATASET.FOLDER.NAME", "beetles"), ("mine/birds", "DATASET.FOLDER.NAME", "my birds"),
    ):  # fmt: skip
        root = tmp_path / place
        for name in NAMES:
            for n in range(4):
                write_jpeg(root / name.replace(" ", "_") / f"{n}.jpg", n, size=(64, 64))
        pairs = ("DATASET.FOLDER.DIVIDE", "True", *pairs)
        assert train.main(command(root, tmp_path / "out" / place, *pairs, trainer="CoOp")) == 0
    printed = capsys.readouterr().out
    assert "Dataset    Folder birds\n# classes  3\n# train_x  6\n# val      3\n# test     3\n" in printed
    records = [json.loads(file.read_text()) for file in sorted((tmp_path / "out").rglob("results.json"))]
    assert [record["dataset"] for record in records] == ["Folder birds", "Folder beetles", "Folder my birds"]
    assert all(record["evaluations"][0]["dataset"] == record["dataset"] for record in records)


def test_a_record_from_before_collections_had_names_is_still_that_of_its_run(photos, tmp_path, capsys):
    assert train.main(command(photos, tmp_path / "out")) == 0
    file = tmp_path / "out" / "results.json"
    record = json.loads(file.read_text())
    for key in ("NAME", "DIVIDE"):
        del record["config"]["DATASET"]["FOLDER"][key]
    del record["config"]["DATASET"]["DRAW"], record["config"]["TEST"]["PER_IMAGE_FILE"]
    file.write_text(json.dumps(record | {"dataset": "Folder"}))
    capsys.readouterr()
    again = command(photos, tmp_path / "out")
    assert train.main([*again[:2], "--skip-finished", *again[2:]]) == 0
    assert "already contains the results of this run" in capsys.readouterr().out
