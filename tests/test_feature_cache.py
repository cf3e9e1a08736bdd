"""The cache of frozen features: prompts are the same bit for bit, and nothing in the cache is computed again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import kdpl
import train
from kdpl.__main__ import main as kdpl_main
from kdpl.caching.features import FeatureCache, key_of
from kdpl.clip import loading
from kdpl.clip.precision import resolve_precision
from kdpl.clip.zero_shot import ZeroShotClassifier
from kdpl.distillation.teacher import build_teacher
from kdpl.images import files, seeded_loader
from kdpl.methods import METHODS
from tests.conftest import ROOT
from tests.tiny_datasets import write_jpeg

CLASSNAMES = ["red striped circle", "blue dotted square", "green plain star"]
VOCABULARY = [*CLASSNAMES, "lamp", "steam train", "tree", "boat"]
DEMO = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}
QUICK = DEMO | {"epochs": 2, "batch_size": 3, "seed": 4}
FROZEN_IMAGE_TOWER = ("CoOp", "CoCoOp", "KgCoOp")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Ten unlabelled JPEGs, of which batches of three and of four drop different ones."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(10):
        write_jpeg(folder / f"{i}.jpg", i, (80, 70))
    return folder


@pytest.fixture(scope="module")
def filled(photos, tmp_path_factory) -> Path:
    """A cache that another method, class-agnostic and with other batches, has filled before."""
    folder = tmp_path_factory.mktemp("cache")
    kdpl.distill(
        photos, vocabulary=VOCABULARY, max_classes=4, method="KgCoOp", cache=folder, **QUICK | {"batch_size": 4}
    )
    return folder


class Watched:
    """Counts images that went through the towers, files that were decoded and teachers that were loaded."""

    def __init__(self, monkeypatch):
        self.seen = {"demo:teacher": 0, "demo:student": 0}
        self.decoded: list[str] = []
        self.loaded: list[str] = []
        teacher_features = ZeroShotClassifier.image_features
        student_features = kdpl.PromptedCLIP.frozen_image_features
        load, read = loading.load_clip, files.read_image

        def of_teacher(classifier, image):
            self.seen[classifier.source.name] += int(image.flatten(1).any(dim=1).sum())
            return teacher_features(classifier, image)

        def of_student(model, image):
            self.seen["demo:student"] += int(image.flatten(1).any(dim=1).sum())
            return student_features(model, image)

        def watched_load(name):
            self.loaded.append(name)
            return load(name)

        monkeypatch.setattr(ZeroShotClassifier, "image_features", of_teacher)
        monkeypatch.setattr(kdpl.PromptedCLIP, "frozen_image_features", of_student)
        monkeypatch.setattr(loading, "load_clip", watched_load)
        monkeypatch.setattr("kdpl.distillation.teacher.load_clip", watched_load)
        monkeypatch.setattr(seeded_loader, "read_image", lambda path: self.decoded.append(str(path)) or read(path))


def learned(photos: Path, method: str, class_agnostic: bool = False, **options) -> dict[str, torch.Tensor]:
    names = None if class_agnostic else CLASSNAMES
    call = QUICK | {"vocabulary": VOCABULARY, "max_classes": 4, "method": method} | options
    return kdpl.distill(photos, names, **call).model.prompt_learner.state_dict()


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_prompts_have_the_bits_of_a_training_without_cache_whoever_filled_it(
    method, class_agnostic, photos, filled, tmp_path, monkeypatch
):
    expected = learned(photos, method, class_agnostic)
    assert same(learned(photos, method, class_agnostic, cache=tmp_path), expected)
    assert same(learned(photos, method, class_agnostic, cache=filled), expected)
    watched = Watched(monkeypatch)
    assert same(learned(photos, method, class_agnostic, cache=filled), expected)
    assert watched.seen == {"demo:teacher": 0, "demo:student": 0} and "demo:teacher" not in watched.loaded
    assert bool(watched.decoded) is (method not in FROZEN_IMAGE_TOWER)


def test_features_are_shared_by_those_with_as_many_threads(photos, filled, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # where a feature's last bits depend on its position in the group
    try:
        expected = learned(photos, "CoOp")
        assert same(learned(photos, "CoOp", cache=filled), expected)
        watched = Watched(monkeypatch)
        assert same(learned(photos, "CoOp", cache=filled, batch_size=3), expected)
        assert watched.decoded == []
    finally:
        torch.set_num_threads(before)


def test_each_view_goes_through_the_teacher_once_in_all(photos, tmp_path, monkeypatch):
    watched = Watched(monkeypatch)
    for batch_size in (3, 4, 5):  # nine, eight and all ten images are seen in an epoch
        learned(photos, "CoOp", cache=tmp_path, batch_size=batch_size)
    assert watched.seen == {"demo:teacher": 2 * 10, "demo:student": 2 * 10}
    # Workers load what the cache lacks, and nothing else.
    by_workers = learned(photos, "CoOp", cache=tmp_path, n_workers=2, epochs=3)
    assert watched.seen == {"demo:teacher": 3 * 10 - 1, "demo:student": 3 * 10 - 1}
    assert same(by_workers, learned(photos, "CoOp", epochs=3))


def test_what_a_feature_depends_on_is_computed_anew(photos, tmp_path, monkeypatch):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    for photo in photos.iterdir():
        write_jpeg(folder / photo.name, int(photo.stem), (80, 70))
    learned(folder, "CoOp", cache=cache)
    write_jpeg(folder / "3.jpg", 77, (80, 70))
    watched = Watched(monkeypatch)
    assert same(learned(folder, "CoOp", cache=cache), learned(folder, "CoOp"))
    by_cached, by_plain = [1, 1], [9, 9]
    assert watched.seen["demo:teacher"] in range(sum(by_plain) + 1, sum(by_plain) + sum(by_cached) + 1)
    watched.seen["demo:teacher"] = 0
    learned(folder, "CoOp", cache=cache, seed=5)
    assert watched.seen["demo:teacher"] == 18
    learned(folder, "CoOp", cache=cache, seed=5, teacher_precision="bf16")
    assert watched.seen["demo:teacher"] == 36


def test_half_precision_gives_the_same_prompts_whether_features_were_there_or_not(photos, tmp_path):
    cache = FeatureCache(tmp_path, precision="fp16")
    first, second = (learned(photos, "CoOp", cache=cache) for _ in range(2))
    full = learned(photos, "CoOp")
    assert same(first, second) and not same(first, full)
    assert (first["ctx"] - full["ctx"]).abs().max() < 1e-3


def test_images_without_files_and_transforms_without_names_do_without(photos, tmp_path, capsys):
    def transform(image):
        return torch.zeros(3, 64, 64)

    learned(photos, "CoOp", cache=tmp_path, transform=transform)
    assert "The feature cache is not used" in capsys.readouterr().out


def test_a_damaged_or_removed_shard_costs_time_and_nothing_else(photos, tmp_path):
    expected = learned(photos, "CoOp", cache=tmp_path)
    for shard in tmp_path.glob("*.shard"):
        content = bytearray(shard.read_bytes())
        content[len(content) // 2 :: 97] = bytes(len(content[len(content) // 2 :: 97]))
        shard.write_bytes(content)
    assert same(learned(photos, "CoOp", cache=tmp_path), expected)
    for shard in tmp_path.glob("*.shard"):
        shard.unlink()
    assert same(learned(photos, "CoOp", cache=tmp_path), expected)


def test_views_repeat_over_the_epochs_with_or_without_a_cache(photos, tmp_path, monkeypatch):
    watched = Watched(monkeypatch)
    repeated = learned(photos, "CoOp", views=2, epochs=5, batch_size=5)
    assert watched.seen["demo:teacher"] == 2 * 10
    assert same(repeated, learned(photos, "CoOp", views=2, epochs=5, batch_size=5, cache=tmp_path))
    assert not same(repeated, learned(photos, "CoOp", epochs=5, batch_size=5))
    assert same(learned(photos, "CoOp", views=5, epochs=5), learned(photos, "CoOp", epochs=5))
    classifier = kdpl.distill(photos, CLASSNAMES, views=2, **QUICK)
    assert classifier.description["views"] == 2 and "in the paper" in classifier.description["departure"]
    with pytest.raises(ValueError, match="views is -1"):
        learned(photos, "CoOp", views=-1)


@pytest.mark.parametrize(
    "arguments, message", [({"precision": "int8"}, "choose from fp32"), ({"max_gb": 0}, "above 0")]
)
def test_settings_that_cannot_be_are_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        FeatureCache(tmp_path, **arguments)


def train_py(data: Path, trainer: str, output: Path, *flags: object) -> dict:
    arguments = [
        "--root", data, "--seed", 1, "--trainer", trainer, "--output-dir", output,
        "--dataset-config-file", ROOT / "configs/datasets/caltech101.yaml",
        "--config-file", ROOT / f"configs/trainers/{'CoOp_KDPL' if trainer == 'ZeroshotCLIP' else trainer}/demo.yaml",
        *flags, "DATASET.NUM_SHOTS", 2, "OPTIM.MAX_EPOCH", 2, "DATALOADER.NUM_WORKERS", 0,
    ]  # fmt: skip
    assert train.main([str(argument) for argument in arguments]) == 0
    return json.loads((output / "results.json").read_text())


def test_train_py_learns_and_evaluates_the_same_and_opens_no_picture_twice(data, tmp_path, monkeypatch):
    def run(name: str, trainer: str = "CoOp_KDPL", cache: object = tmp_path / "cache", *flags: object) -> dict:
        return train_py(data, trainer, tmp_path / name, *flags, "TRAINER.KDPL.CACHE_DIR", cache)

    plain, cached = run("plain", cache=""), run("cached")
    zero_shot, cached_zero_shot = (
        run(f"zero-shot {bool(cache)}", "ZeroshotCLIP", cache, "--eval-only") for cache in ("", tmp_path / "cache")
    )
    assert cached_zero_shot["evaluations"] == zero_shot["evaluations"]

    def refuse(path):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr("dassl.data.dataset_wrapper.read_image", refuse)
    monkeypatch.setattr(seeded_loader, "read_image", refuse)
    run("zero-shot again", "ZeroshotCLIP", tmp_path / "cache", "--eval-only")
    again, other = run("again"), run("other", "KgCoOp_KDPL")
    for record in (cached, again):
        for fact in ("prompts_sha256", "evaluations", "agreement"):
            assert record[fact] == plain[fact]
    assert other["agreement"] == plain["agreement"] and other["prompts_sha256"] != plain["prompts_sha256"]
    assert same(load_file(tmp_path / "again/prompts.safetensors"), load_file(tmp_path / "plain/prompts.safetensors"))


def test_keys_differ_in_anything():
    assert len({key_of("a", 1), key_of("a", 2), key_of(["a", 1]), key_of("b", 1), key_of("a", 1, None)}) == 5


def test_the_command_lists_and_clears(photos, tmp_path, capsys):
    cache = tmp_path / "cache"
    learned(photos, "CoOp", cache=cache)
    assert kdpl_main(["cache", str(cache)]) == 0
    listed = capsys.readouterr().out
    assert listed.count("augmented images") == 2 and "texts 'a photo of a {}.'" in listed
    assert [line.split()[0] for line in listed.splitlines() if "augmented" in line] == ["18", "18"]
    assert kdpl_main(["cache", str(cache), "--clear", "--unused-for", "1"]) == 0
    assert "Removed 0.0 MB" in capsys.readouterr().out and len(list(cache.glob("*.shard"))) == 1
    assert kdpl_main(["cache", str(cache), "--clear"]) == 0
    assert not list(cache.glob("*.shard"))
    assert kdpl_main(["cache", str(photos)]) == 2 and "is not a feature cache" in capsys.readouterr().err
    assert kdpl_main(["cache", str(cache), "--unused-for", "1"]) == 2


def test_a_teacher_that_is_not_loaded_has_the_scale_and_features_of_one_that_is(tmp_path, monkeypatch):
    settings = {"device": torch.device("cpu"), "precision": resolve_precision("fp32", torch.device("cpu"))}
    cache = FeatureCache(tmp_path)
    first = build_teacher("demo:teacher", CLASSNAMES, "a photo of a {}.", cache, scale="own", **settings)
    watched = Watched(monkeypatch)
    second = build_teacher("demo:teacher", CLASSNAMES, "a photo of a {}.", cache, scale="own", **settings)
    features = torch.nn.functional.normalize(torch.randn(2, first.classifiers[0].width), dim=-1)
    assert torch.equal(first.logits(features), second.logits(features)) and watched.loaded == []
    assert second.frozen_tower.identity == first.frozen_tower.identity
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(first(image), second(image)) and watched.loaded == ["demo:teacher"]
    build_teacher("demo:teacher", CLASSNAMES[:2], "a photo of a {}.", cache, **settings)
    assert watched.loaded == ["demo:teacher"] * 2
