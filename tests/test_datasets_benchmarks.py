"""The fifteen benchmarks: published counts and names against placeholder images, and splits from annotations."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from scipy.io import savemat

import datasets  # noqa: F401  registers them
from datasets import image_check
from datasets.splits import read_split
from tests.tiny_datasets import dataset_cfg, write_jpeg

FIFTEEN = [
    "ImageNet", "ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR", "Caltech101", "OxfordPets", "StanfordCars",
    "OxfordFlowers", "Food101", "FGVCAircraft", "SUN397", "DescribableTextures", "EuroSAT", "UCF101",
]  # fmt: skip


@pytest.fixture
def placeholders(tmp_path, monkeypatch):
    """Create paths as hard links to one picture, which is not checked thousands of times."""
    picture = write_jpeg(tmp_path / "picture.jpg")
    monkeypatch.setattr(image_check, "image_fault", lambda path: None)

    def place(paths):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(picture, path)

    return place


def test_every_benchmark_has_its_name_and_its_terms():
    for name in FIFTEEN:
        dataset = DATASET_REGISTRY.get(name)
        assert dataset.source.startswith("https://") and dataset.licence and dataset.__doc__, name
        assert dataset.n_classes and sum(dataset.n_images), name


# Test images of the base and of the new half as papers on base-to-new generalisation count them.
@pytest.mark.parametrize(
    ("name", "n_base", "n_new", "a_name"),
    [
        ("Caltech101", 1549, 916, "face"),
        ("DescribableTextures", 864, 828, "banded"),
        ("EuroSAT", 4200, 3900, "Annual Crop Land"),
        ("OxfordFlowers", 1053, 1410, "pink primrose"),
        ("OxfordPets", 1881, 1788, "abyssinian"),
        ("StanfordCars", 4002, 4039, "2000 AM General Hummer SUV"),
        ("UCF101", 1934, 1849, "Apply_Eye_Makeup"),
    ],
)
def test_published_splits_have_the_published_counts_and_names(
    shared, tmp_path, placeholders, name, n_base, n_new, a_name
):
    facts = DATASET_REGISTRY.get(name)
    published = shared / "data" / facts.dataset_dir / facts.split_file
    folder = tmp_path / facts.dataset_dir
    paths = {path for part in json.loads(published.read_text()).values() for path, *_ in part}
    placeholders([folder / facts.image_dir / path for path in paths])
    (folder / facts.split_file).write_bytes(published.read_bytes())

    whole = build_dataset(dataset_cfg(tmp_path, name))
    assert (len(whole.train_x), len(whole.val), len(whole.test)) == facts.n_images
    assert whole.num_classes == len(whole.classnames) == facts.n_classes and whole.classnames[0] == a_name
    base, new = (build_dataset(dataset_cfg(tmp_path, name, shots=16, subsample=half)) for half in ("base", "new"))
    assert (len(base.test), len(new.test)) == (n_base, n_new)
    assert base.classnames + new.classnames == whole.classnames and base.num_classes - new.num_classes in (0, 1)


def test_published_class_names_of_the_datasets_without_a_split_at_hand(shared, tmp_path, placeholders):
    folder = tmp_path / "fgvc_aircraft"
    names = (shared / "data" / "fgvc_aircraft" / "classnames_in_label_order.txt").read_text().splitlines()
    placeholders([folder / "images" / f"{n:07}.jpg" for n in range(300)])
    (folder / "variants.txt").write_text("\n".join(names) + "\n")
    for k, part in enumerate(("train", "val", "test")):
        lines = [f"{3 * n + k:07} {name}" for n, name in enumerate(names)]
        (folder / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
    aircraft = build_dataset(dataset_cfg(tmp_path, "FGVCAircraft", shots=1))
    assert aircraft.classnames == names and len(aircraft.test) == 100
    assert aircraft.test[1].impath == str(folder / "images" / "0000005.jpg") and aircraft.test[1].label == 1


@pytest.fixture
def classnames(shared):
    return (shared / "data" / "imagenet" / "classnames.txt").read_text()


def make_imagenet(folder: Path, classnames: str, folders: list[str], placeholders, n=2) -> None:
    placeholders([folder / name / f"{name[-9:]}_{i}.JPEG" for name in folders for i in range(n)])
    (folder.parent / "classnames.txt").write_text(classnames)


def test_imagenet_tests_on_its_validation_images_with_clips_names(tmp_path, placeholders, classnames):
    ids = [line.split(" ")[0] for line in classnames.splitlines()]
    folders = [f"{part}/{name}" for part in ("train", "val") for name in ids]
    make_imagenet(tmp_path / "imagenet" / "images", classnames, folders, placeholders)
    whole = build_dataset(dataset_cfg(tmp_path, "ImageNet", shots=1))
    assert (whole.num_classes, len(whole.train_x), len(whole.test)) == (1000, 1000, 2000)
    assert whole.classnames[:3] == ["tench", "goldfish", "great white shark"] and len(set(whole.classnames)) == 998
    assert "/images/val/n01440764/" in whole.test[0].impath and whole.val is None
    new = build_dataset(dataset_cfg(tmp_path, "ImageNet", shots=1, subsample="new"))
    assert new.classnames == whole.classnames[500:] and new.test[0].label == 0


@pytest.mark.parametrize(("name", "n_classes"), [("ImageNetA", 200), ("ImageNetR", 200), ("ImageNetSketch", 1000)])
def test_variants_take_labels_from_the_order_of_their_folders(tmp_path, placeholders, classnames, name, n_classes):
    facts = DATASET_REGISTRY.get(name)
    lines = [line.split(" ", 1) for line in classnames.splitlines()][:: 1000 // n_classes]
    folder = tmp_path / facts.dataset_dir / facts.image_dir
    make_imagenet(folder, classnames, [name for name, _ in lines], placeholders)
    (folder / "README.txt").write_text("no class")
    dataset = build_dataset(dataset_cfg(tmp_path, name, shots=16))
    assert dataset.classnames == [name for _, name in lines] and len(dataset.test) == 2 * n_classes
    assert [datum.label for datum in dataset.test[:4]] == [0, 0, 1, 1]


def test_the_folders_of_imagenetv2_are_lines_of_the_list(tmp_path, placeholders, classnames):
    folder = tmp_path / "imagenetv2" / "imagenetv2-matched-frequency-format-val"
    make_imagenet(folder, classnames, [str(n) for n in range(1000)], placeholders, n=1)
    dataset = build_dataset(dataset_cfg(tmp_path, "ImageNetV2"))
    assert dataset.lab2cname[10] == "brambling" and "/10/" in dataset.test[10].impath


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: (images / "val" / "n01440764").rename(images / "val" / "n0"), "only one of them has n0"),
        (lambda images: [p.unlink() for p in (images / "val" / "n01440764").iterdir()], "n01440764 contains no images"),
        (lambda images: [(images / part / "n01440764").rename(images / part / "fish") for part in ("train", "val")],
         "fish is not a class folder"),
        (lambda images: (images.parent / "classnames.txt").write_text("tench\ngoldfish\n"), "txt is not a list"),
    ],
)  # fmt: skip
def test_an_incomplete_imagenet_is_named_with_the_command_that_repairs_it(
    tmp_path, placeholders, classnames, change, message
):
    folders = [f"{part}/{name}" for part in ("train", "val") for name in ("n01440764", "n01443537")]
    make_imagenet(tmp_path / "imagenet" / "images", classnames, folders, placeholders)
    change(tmp_path / "imagenet" / "images")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        build_dataset(dataset_cfg(tmp_path, "ImageNet"))
    assert "python -m tools.data" in str(error.value) or "Download it again" in str(error.value)


def test_a_variant_with_missing_folders_is_refused(tmp_path, placeholders, classnames):
    make_imagenet(tmp_path / "imagenet-rendition" / "imagenet-r", classnames, ["n01443537"], placeholders)
    with pytest.raises(FileNotFoundError, match="has 1 class folders instead of 200"):
        build_dataset(dataset_cfg(tmp_path, "ImageNetR"))


# Splits made from annotations: the test part is the dataset's own, so it equals the published one, in its order.


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_ucf101s_lists_give_the_published_test_and_the_published_names(shared, tmp_path):
    published = read_split(shared / "data" / "ucf101" / "split_zhou_UCF101.json")

    def video(item):
        folder, frame = item.path.split("/")
        return f"{folder.replace('_', '')}/{frame.removesuffix('.jpg')}.avi"

    lists = tmp_path / "ucfTrainTestlist"
    names = {item.label: item.classname.replace("_", "") for item in published.train}
    write_lines(lists / "classInd.txt", [f"{label + 1} {names[label]}" for label in sorted(names)])
    trainval = sorted(published.train + published.val)
    write_lines(lists / "trainlist01.txt", [f"{video(item)} {item.label + 1}" for item in trainval])
    write_lines(lists / "testlist01.txt", [video(item) for item in published.test])
    split = DATASET_REGISTRY.get("UCF101").raw_split(tmp_path, random.Random(1))
    assert split.test == published.test
    assert sorted(split.train + split.val) == trainval
    assert (len(split.train), len(split.val)) == (len(published.train), len(published.val))
    assert split == DATASET_REGISTRY.get("UCF101").raw_split(tmp_path, random.Random(1))


def test_stanford_cars_annotation_gives_the_published_test_and_names(shared, tmp_path):
    published = read_split(shared / "data" / "stanford_cars" / "split_zhou_StanfordCars.json")

    def annotation(items):
        rows = [(item.path.split("/")[1], item.label + 1, 5) for item in items]
        return {"annotations": np.array(rows, dtype=[("fname", object), ("class", object), ("bbox_x1", object)])}

    (tmp_path / "devkit").mkdir()
    names = [" ".join((*name.split(" ")[1:], name.split(" ")[0])) for name in published.classnames]
    savemat(tmp_path / "devkit" / "cars_meta.mat", {"class_names": np.array(names, dtype=object)})
    trainval = sorted(published.train + published.val)
    savemat(tmp_path / "devkit" / "cars_train_annos.mat", annotation(trainval))
    savemat(tmp_path / "cars_test_annos_withlabels.mat", annotation(published.test))
    split = DATASET_REGISTRY.get("StanfordCars").raw_split(tmp_path, random.Random(1))
    assert split.test == published.test and sorted(split.train + split.val) == trainval
    assert (len(split.train), len(split.val)) == (len(published.train), len(published.val))


def test_oxford_flowers_labels_give_the_published_names_and_counts(shared, tmp_path):
    published = read_split(shared / "data" / "oxford_flowers" / "split_zhou_OxfordFlowers.json")
    everything = sorted(published.train + published.val + published.test)  # image_00001.jpg ...
    (tmp_path / "cat_to_name.json").write_bytes((shared / "data" / "oxford_flowers" / "cat_to_name.json").read_bytes())
    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([item.label + 1 for item in everything])})
    split = DATASET_REGISTRY.get("OxfordFlowers").raw_split(tmp_path, random.Random(1))
    assert sorted(split.train + split.val + split.test) == everything
    assert [len(part) for part in (split.train, split.val, split.test)] == [4093, 1633, 2463]


def test_sun397s_names_are_read_from_the_last_part_to_the_first(tmp_path):
    write_lines(tmp_path / "ClassName.txt", ["/a/abbey", "/a/athletic_field/outdoor"])
    write_lines(tmp_path / "Training_01.txt", [f"/a/abbey/sun_{n}.jpg" for n in range(10)])
    write_lines(tmp_path / "Testing_01.txt", ["/a/athletic_field/outdoor/sun_b.jpg"])
    split = DATASET_REGISTRY.get("SUN397").raw_split(tmp_path, random.Random(1))
    assert split.test == [("a/athletic_field/outdoor/sun_b.jpg", 1, "outdoor athletic_field")]
    assert (len(split.train), len(split.val)) == (8, 2) and split.train[0].classname == "abbey"


def test_sun397s_lists_give_the_published_names_of_all_places(shared, tmp_path):
    folder = shared / "data" / "sun397"
    drawn = json.loads((folder / "fewshot_reference" / "shot_1-seed_1.json").read_text())["train"]["data"]
    paths = [entry["impath"].removeprefix("./data/sun397/SUN397") for entry in drawn]
    write_lines(tmp_path / "ClassName.txt", [os.path.dirname(path) for path in paths])
    write_lines(tmp_path / "Training_01.txt", paths)
    write_lines(tmp_path / "Testing_01.txt", paths)
    split = DATASET_REGISTRY.get("SUN397").raw_split(tmp_path, random.Random(1))
    assert split.classnames == (folder / "classnames_in_label_order.txt").read_text().splitlines()
    assert [list(item) for item in split.test] == [
        [path[1:], entry["label"], entry["classname"]] for path, entry in zip(paths, drawn, strict=True)
    ]


def test_an_annotation_that_is_cut_off_is_named(shared, tmp_path):
    (tmp_path / "cat_to_name.json").write_text("{}")
    savemat(tmp_path / "imagelabels.mat", {"labels": np.arange(1, 500)})
    content = (tmp_path / "imagelabels.mat").read_bytes()
    for broken in (content[:200], b"", b"<html>"):
        (tmp_path / "imagelabels.mat").write_bytes(broken)
        with pytest.raises(ValueError, match="imagelabels.mat cannot be read as a MATLAB file"):
            DATASET_REGISTRY.get("OxfordFlowers").raw_split(tmp_path, random.Random(1))


def test_a_dataset_without_an_annotation_says_so(tmp_path):
    with pytest.raises(ValueError, match="Caltech101 has no annotation to create a split from"):
        DATASET_REGISTRY.get("Caltech101").raw_split(tmp_path, random.Random(1))
