"""`kdpl.distill`: from unlabelled images to a classifier, with the same prompts as the Dassl trainers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import kdpl
import train
from kdpl.methods import METHODS
from tests.tiny_datasets import write_jpeg

ROOT = Path(__file__).parents[1]
CLASSNAMES = ["red striped circle", "blue dotted square", "green plain star"]
VOCABULARY = [*CLASSNAMES, "lamp", "steam train", "tree", "boat"]
DEMO = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}
QUICK = DEMO | {"epochs": 2, "batch_size": 3, "seed": 4}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder of ten unlabelled JPEGs."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(10):
        write_jpeg(folder / f"sub{i % 2}" / f"{i}.jpg", i, (80, 70))
    return folder


def dassl_prompts(photos: Path, method: str, output: Path, *options: str) -> dict[str, torch.Tensor]:
    """What `train.py` learns from the same images with the same settings."""
    (photos / "classnames.txt").write_text("\n".join(CLASSNAMES))
    arguments = [
        "--root", photos, "--seed", 4, "--trainer", f"{method}_KDPL", "--output-dir", output,
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", ROOT / f"configs/trainers/{method}_KDPL/demo.yaml",
        "OPTIM.MAX_EPOCH", 2, "DATALOADER.TRAIN_X.BATCH_SIZE", 3, "INPUT.RRCROP_SCALE", "(0.08, 1.0)", *options,
    ]  # fmt: skip
    assert train.main([str(argument) for argument in arguments]) == 0
    return load_file(output / "prompts.safetensors")


def prompts_of(classifier: kdpl.Classifier) -> dict[str, torch.Tensor]:
    return classifier.model.prompt_learner.state_dict()


def settings_of_demo(method: str) -> dict:
    """The method's settings in its demo configuration, by the library's names."""
    from trainers.kdpl.config import method_settings
    from trainers.kdpl.configuration import build_cfg

    cfg = build_cfg([str(ROOT / f"configs/trainers/{method}_KDPL/demo.yaml")], {})
    return method_settings(cfg, METHODS[method]) | {"lr": cfg.OPTIM.LR}


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_library_and_dassl_learn_the_same_prompts_bit_for_bit(method, class_agnostic, photos, tmp_path):
    settings = settings_of_demo(method)
    lr = settings.pop("lr")
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("\n".join(VOCABULARY))
    options = ("TRAINER.KDPL.CLASS_AGNOSTIC", "True", "TRAINER.KDPL.VOCABULARY", vocabulary, "TRAINER.KDPL.K_MAX", 4)
    theirs = dassl_prompts(photos, method, tmp_path / "dassl", *(options if class_agnostic else ()))
    classifier = kdpl.distill(
        photos, None if class_agnostic else CLASSNAMES, method=method, settings=settings, lr=lr,
        vocabulary=vocabulary, max_classes=4, **QUICK,
    )  # fmt: skip
    ours = prompts_of(classifier)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_folders_paths_and_datasets_are_the_same_images(photos):
    paths = sorted(photos.rglob("*.jpg"))

    class WithLabels(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return Image.open(paths[index]), pytest.fail  # a label that nobody may read

    by_folder, by_paths, by_dataset = (
        prompts_of(kdpl.distill(images, CLASSNAMES, **QUICK)) for images in (photos, paths, WithLabels())
    )
    assert torch.equal(by_folder["ctx"], by_paths["ctx"]) and torch.equal(by_folder["ctx"], by_dataset["ctx"])


INTERRUPTED = """
import sys, kdpl.distillation.training as t
finish = t.Training.finish_epoch
def finish_epoch(self):
    finish(self)
    if self.epoch == 2:
        import os; os.kill(os.getpid(), 9)
t.Training.finish_epoch = finish_epoch
import kdpl
kdpl.distill(sys.argv[1], {names}, method="PromptSRC", output=sys.argv[2], **{settings})
"""


def test_a_killed_call_resumes_after_its_last_epoch_to_the_same_prompts(photos, tmp_path, capsys):
    settings = QUICK | {"epochs": 3}
    whole = kdpl.distill(photos, CLASSNAMES, method="PromptSRC", **settings)
    output = tmp_path / "prompts.safetensors"
    code = INTERRUPTED.format(names=CLASSNAMES, settings=settings)
    killed = subprocess.run([sys.executable, "-c", code, str(photos), str(output)], cwd=ROOT, capture_output=True)
    assert killed.returncode == -9 and not output.exists()
    resumed = kdpl.distill(photos, CLASSNAMES, method="PromptSRC", output=output, **settings)
    assert "after epoch 1" in capsys.readouterr().out
    assert all(torch.equal(value, prompts_of(resumed)[name]) for name, value in prompts_of(whole).items())
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.safetensors"]


def test_a_finished_call_is_loaded_and_one_with_other_arguments_refused(photos, tmp_path):
    output = tmp_path / "prompts.safetensors"
    first = kdpl.distill(photos, CLASSNAMES, output=output, **QUICK)
    written = output.stat().st_mtime_ns
    again = kdpl.distill(photos, CLASSNAMES, output=output, **QUICK)
    assert output.stat().st_mtime_ns == written
    assert torch.equal(prompts_of(first)["ctx"], prompts_of(again)["ctx"])
    with pytest.raises(ValueError, match="seed: 4 before, 5 now"):
        kdpl.distill(photos, CLASSNAMES, output=output, **QUICK | {"seed": 5})


def test_prompts_classify_as_they_did_before_they_were_saved(photos, tmp_path):
    output = tmp_path / "prompts.safetensors"
    classifier = kdpl.distill(photos, CLASSNAMES, output=output, **QUICK)
    loaded = kdpl.load(output, device="cpu")
    assert loaded.classnames == CLASSNAMES
    assert loaded.predict(photos, top=2) == classifier.predict(photos, top=2)
    other = loaded.with_classnames(["cat", "dog"]).predict(photos / "sub0" / "0.jpg", top=2)[0]
    assert other.classname in ("cat", "dog") and sum(p for _, p in other.top) == pytest.approx(1.0)


def test_class_agnostic_prompts_are_given_names_later(photos, tmp_path):
    output = tmp_path / "prompts.safetensors"
    classifier = kdpl.distill(photos, vocabulary=VOCABULARY, max_classes=3, output=output, **QUICK)
    with pytest.raises(ValueError, match="no class names"):
        classifier.predict(photos)
    loaded = kdpl.load(output, CLASSNAMES, device="cpu")
    assert loaded.predict(photos) == classifier.with_classnames(CLASSNAMES).predict(photos)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "coop"}, "did you mean 'CoOp'"),
        ({"settings": {"n_contexts": 3}}, "no setting 'n_contexts'; it has n_ctx"),
        ({"student": "demo:studnet"}, "did you mean 'demo:student'"),
        ({"teacher": ""}, "Choose one"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"optimizer": "sdg"}, "choose from sgd"),
        ({"precision": "fp8"}, "choose from fp32"),
        ({"device": "gpu"}, "choose from auto"),
        ({"template": "a photo"}, "class name once"),
        ({"classnames": ["cat"]}, "at least two"),
        ({"classnames": "cat"}, "pass a list"),
        ({"classnames": ["cat", " "]}, "name at index 1 is empty"),
        ({"images": []}, "no images"),
    ],
)
def test_arguments_that_cannot_work_are_refused_by_name(arguments, message, photos):
    call = {"images": photos, "classnames": CLASSNAMES, **QUICK, **arguments}
    with pytest.raises(ValueError, match=message):
        kdpl.distill(call.pop("images"), call.pop("classnames"), **call)


def test_files_that_are_not_images_are_named_before_training(photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"1 of 1 images cannot be read.*\n.*broken\.jpg"):
        kdpl.distill(tmp_path, CLASSNAMES, **QUICK)
    with pytest.raises(FileNotFoundError, match="folder .* does not exist"):
        kdpl.distill(tmp_path / "absent", CLASSNAMES, **QUICK)


def test_the_command_line_learns_classifies_and_shows(photos, tmp_path):
    names, output = tmp_path / "names.txt", tmp_path / "prompts.safetensors"
    names.write_text("\n".join(CLASSNAMES))

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "kdpl", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    demo = ("--student", "demo:student", "--teacher", "demo:teacher", "--device", "cpu", "--epochs", 1)
    assert f"kdpl predict {output}" in run("train", photos, "--classnames", names, *demo, "--output", output)
    lines = run("predict", output, photos, "--device", "cpu").splitlines()
    assert len(lines) == 10 and all(line.split("\t")[2] in CLASSNAMES for line in lines)
    assert '"name": "demo:student"' in run("show", output)
