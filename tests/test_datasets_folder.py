"""A dataset of one's own: every form it may come in, what is reported of it, and what is refused."""

import json
import os
import shutil

import numpy as np
import pytest
from dassl.data import DataManager
from dassl.data.datasets import build_dataset
from dassl.utils import read_image
from PIL import Image

import datasets  # noqa: F401  registers Folder
from datasets.folder import divide
from datasets.splits import UNKNOWN, Item
from tests.tiny_datasets import dataset_cfg, write_jpeg


def fill_folder(root, *patterns):
    """Write pictures; "cat/*3" are three in the folder cat."""
    for k, pattern in enumerate(patterns):
        folder, count = pattern.split("*")
        for n in range(int(count)):
            write_jpeg(root / folder / f"{n}.jpg", 100 * k + n)


def folder(root, **settings):
    cfg = dataset_cfg(root, "Folder", shots=settings.pop("shots", -1), subsample=settings.pop("subsample", "all"))
    cfg.TRAINER.KDPL.CLASS_AGNOSTIC = settings.pop("class_agnostic", False)
    cfg.TEST.NO_TEST = settings.pop("no_test", False)
    cfg.DATASET.TEMPLATE = settings.pop("template", "")
    for key, value in settings.items():
        cfg.DATASET.FOLDER[key.upper()] = value
    return build_dataset(cfg)


def sizes(dataset):
    return len(dataset.train_x), len(dataset.val or []), len(dataset.test)


def labels(data):
    return [datum.label for datum in data]


def test_all_images_of_class_folders_are_trained_on_unless_some_are_asked_for_testing(tmp_path, capsys):
    fill_folder(tmp_path, "dog*10", "big_cat*10")
    dataset = folder(tmp_path)
    assert len(dataset.train_x) == 20 and dataset.val is None
    assert labels(dataset.train_x) == [0] * 10 + [1] * 10 and set(labels(dataset.test)) == {UNKNOWN}
    report = capsys.readouterr().out
    assert "Images for training: 20 labelled, 0 unlabelled" in report and "for validation" not in report
    assert "Images for testing: none with labels; accuracy cannot be measured unless DATASET.FOLDER.DIVIDE" in report
    assert len(folder(tmp_path, shots=3).train_x) == 6


def test_a_folder_per_class_is_divided_by_shares(tmp_path, capsys):
    fill_folder(tmp_path, "dog*10", "big_cat*10")
    dataset = folder(tmp_path, template="a drawing of a {}.", divide=True)
    assert dataset.classnames == ["big_cat", "dog"] and sizes(dataset) == (10, 4, 6)
    assert labels(dataset.train_x) == [0] * 5 + [1] * 5
    report = capsys.readouterr().out
    assert "Images for training: 10 labelled, 0 unlabelled" in report and "Classes: 2 (big_cat, dog)" in report
    assert "Prompts: a drawing of a big cat. | a drawing of a dog." in report
    other = folder(tmp_path, split_seed=2, divide=True)
    assert {d.impath for d in other.test} != {d.impath for d in dataset.test}
    assert sizes(folder(tmp_path, shares=(0.8, 0.0, 0.2))) == (16, 0, 4)
    assert sizes(folder(tmp_path, shots=2, divide=True)) == (4, 4, 6)


def test_the_division_does_not_depend_on_seed_or_order_and_hardly_on_new_images():
    items = [Item(f"a/{n}.jpg", 0, "a") for n in range(100)]
    parts = divide(items, (0.5, 0.2, 0.3), 1)
    assert [len(part) for part in parts] == [50, 20, 30] and sorted(sum(parts, [])) == sorted(items)
    assert divide(items[::-1], (0.5, 0.2, 0.3), 1) == parts
    more = divide([*items, Item("a/new.jpg", 0, "a")], (0.5, 0.2, 0.3), 1)
    assert len(set(parts[2]) - set(more[2])) <= 1
    assert [len(part) for part in divide(items[:1], (0.5, 0.2, 0.3), 1)] == [1, 0, 0]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_no_parts_of_a_whole_are_refused(tmp_path, shares):
    fill_folder(tmp_path, "dog*3")
    with pytest.raises(ValueError, match="DATASET.FOLDER.SHARES is .*add up to 1"):
        folder(tmp_path, shares=shares)


def test_parts_by_folders(tmp_path):
    fill_folder(tmp_path, "train/dog*3", "train/cat*2", "valid/dog*1", "test/cat*2", "test/dog*4")
    dataset = folder(tmp_path)
    assert sizes(dataset) == (5, 1, 6) and labels(dataset.test) == [0, 0, 1, 1, 1, 1]
    base, new = (folder(tmp_path, subsample=half) for half in ("base", "new"))
    assert (base.classnames, new.classnames) == (["cat"], ["dog"]) and sizes(new) == (3, 1, 4)


def test_folders_of_parts_may_be_written_otherwise_and_train_may_be_a_class(tmp_path, capsys):
    fill_folder(tmp_path / "parts", "Training/dog*3", "TEST/dog*2", "extra*1")
    assert sizes(folder(tmp_path / "parts")) == (3, 0, 2)
    assert "Not used: 1 images below" in capsys.readouterr().out
    fill_folder(tmp_path / "vehicles", "train*4", "bus*4")
    assert folder(tmp_path / "vehicles").classnames == ["bus", "train"]


def test_images_that_all_lie_one_folder_further_down_are_not_taken_for_one_class(tmp_path):
    fill_folder(tmp_path, "photos/dog*2", "photos/cat*2")
    with pytest.raises(ValueError, match=f"Name that one: --root {tmp_path / 'photos'}"):
        folder(tmp_path)
    assert folder(tmp_path / "photos").classnames == ["cat", "dog"]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    fill_folder(tmp_path / "elsewhere", "dog*4")
    fill_folder(tmp_path / "photos", "cat*4")
    (tmp_path / "photos" / "dog").mkdir()
    (tmp_path / "photos" / "dog" / "there").symlink_to(tmp_path / "elsewhere" / "dog")
    (tmp_path / "photos" / "dog" / "circle").symlink_to(tmp_path / "photos")
    assert sizes(folder(tmp_path / "photos", shares=(1, 0, 0)))[0] == 8


@pytest.mark.parametrize("content", ["\ufeffdog\r\n\r\ncat\r\n".encode(), "dog\ncat".encode("utf-16")])
def test_class_names_may_come_from_windows(tmp_path, content):
    fill_folder(tmp_path, "dog*2", "cat*2")
    (tmp_path / "classnames.txt").write_bytes(content)
    assert folder(tmp_path).classnames == ["dog", "cat"]


@pytest.mark.parametrize("template", ["a photo", "{} {}", "a {photo} of {}", "a {0} {}", "{} {"])
def test_a_template_with_anything_but_one_place_for_the_name_is_refused(tmp_path, template):
    fill_folder(tmp_path, "dog*2")
    with pytest.raises(ValueError, match="DATASET.TEMPLATE is .* it needs {}"):
        folder(tmp_path, template=template)


def test_unlabelled_images_and_a_file_of_names_train_on_all_of_them(tmp_path, capsys):
    fill_folder(tmp_path, "*7", "2021/may*3")  # in any depth
    (tmp_path / "classnames.txt").write_text("red fox\n\nwolf\nlynx\n")
    dataset = folder(tmp_path, shots=2)
    assert dataset.classnames == ["red fox", "wolf", "lynx"] and dataset.num_classes == 3
    assert len(dataset.train_x) == 10 and set(labels(dataset.train_x)) == {UNKNOWN}
    report = capsys.readouterr().out
    assert "Images for training: 0 labelled, 10 unlabelled" in report and "accuracy cannot be measured" in report
    base = folder(tmp_path, subsample="base")
    assert base.classnames == ["red fox", "wolf"] and len(base.train_x) == 10


def test_unlabelled_images_for_training_and_labelled_ones_for_testing(tmp_path):
    fill_folder(tmp_path, "train*5", "test/dog*2", "test/cat*2")
    dataset = folder(tmp_path)
    assert dataset.classnames == ["cat", "dog"] and sizes(dataset) == (5, 0, 4)
    assert set(labels(dataset.train_x)) == {UNKNOWN} and labels(dataset.test) == [0, 0, 1, 1]


def test_without_any_names_only_class_agnostic_training_is_possible(tmp_path, capsys):
    fill_folder(tmp_path, "*4")
    with pytest.raises(ValueError, match="(?s)classnames.txt.*CLASS_AGNOSTIC True"):
        folder(tmp_path)
    assert len(folder(tmp_path, class_agnostic=True).train_x) == 4
    assert "Classes: unknown; the training is class-agnostic" in capsys.readouterr().out


def test_names_decide_the_order_of_labels_and_may_be_written_otherwise(tmp_path):
    fill_folder(tmp_path / "photos", "polar_bear*2", "Ant*2")
    (tmp_path / "names.txt").write_text("Polar Bear\nant\nbee\n")
    dataset = folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"), shares=(0.5, 0, 0.5))
    assert dataset.classnames == ["Polar Bear", "ant", "bee"] and labels(dataset.test) == [0, 1]
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match="1 of the 2 classes .* not among the 2 class names given: polar_bear"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"))
    (tmp_path / "names.txt").write_text("ant\nAnt\npolar bear\n")
    with pytest.raises(ValueError, match="'ant' twice"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"))
    with pytest.raises(FileNotFoundError, match="DATASET.FOLDER.CLASSNAMES is .*no such file"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "nowhere.txt"))


LISTS = {
    "labels.csv": "path,label\nx/0.jpg,dog\nx/1.jpg,cat\nx/2.jpg,\n",
    "other.csv": "x/0.jpg,dog\nx/1.jpg,cat\nx/2.jpg,\n",
    "quoted.csv": 'label,file\ndog,x/0.jpg\n"cat","x/1.jpg"\n,x/2.jpg\n',
    "labels.json": json.dumps({"x/0.jpg": "dog", "x/1.jpg": "cat", "x/2.jpg": None}),
    "pairs.json": json.dumps([["x/0.jpg", "dog"], ["x/1.jpg", "cat"], ["x/2.jpg", ""]]),
    "rows.json": json.dumps([{"path": "x/0.jpg", "label": "dog"}, {"path": "x/1.jpg", "label": "cat", "by": "me"},
                             {"path": "x/2.jpg"}]),
    "semicolons.csv": "Image Path;Class Name\r\nx/0.jpg;dog\r\nx/1.jpg;cat\r\n ; \r\nx/2.jpg;\r\n",
    "tabs.csv": "\ufeffx/0.jpg\tdog\nx/1.jpg\tcat\nx/2.jpg\t\n",
    "windows.csv": "path,label\nx\\0.jpg,dog\n.\\x\\1.jpg,cat\nx\\2.jpg,\nx/0.jpg,dog\n",
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_paths_and_labels(tmp_path, name):
    fill_folder(tmp_path, "x*4")
    (tmp_path / name).write_text(LISTS[name])
    dataset = folder(tmp_path, labels=str(tmp_path / name) if not name.startswith("labels") else "")
    assert dataset.classnames == ["cat", "dog"]
    assert {(d.impath[-5], d.label) for d in dataset.train_x} == {("0", 1), ("1", 0), ("2", UNKNOWN)}


def test_a_list_may_be_in_utf16_but_in_nothing_that_has_to_be_guessed(tmp_path):
    fill_folder(tmp_path, "x*2")
    (tmp_path / "labels.csv").write_bytes("x/0.jpg\tchêne\nx/1.jpg\tif\n".encode("utf-16"))  # Excel's Unicode text
    assert folder(tmp_path).classnames == ["chêne", "if"]
    (tmp_path / "labels.csv").write_bytes("x/0.jpg,chêne\n".encode("latin-1"))
    with pytest.raises(ValueError, match="labels.csv is not text in UTF-8"):
        folder(tmp_path)


def test_labels_that_are_numbers_are_lines_of_the_class_names_or_sorted_by_size(tmp_path):
    fill_folder(tmp_path, "x*4")
    (tmp_path / "labels.json").write_text(json.dumps({"x/0.jpg": 10, "x/1.jpg": 9, "x/2.jpg": "9"}))
    assert folder(tmp_path).classnames == ["9", "10"]
    (tmp_path / "classnames.txt").write_text("wolf\nlynx\n")
    with pytest.raises(ValueError, match="not among the 2 class names given: 9, 10"):
        folder(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps({"x/0.jpg": 0, "x/1.jpg": 1, "x/2.jpg": 1}))
    dataset = folder(tmp_path, shares=(0.5, 0, 0.5))
    assert dataset.classnames == ["wolf", "lynx"] and labels(dataset.train_x) == [0, 1]


def test_paths_of_a_list_are_kept_relative_and_what_it_leaves_out_is_counted(tmp_path, capsys):
    fill_folder(tmp_path / "here", "x*4")
    (tmp_path / "here" / "labels.csv").write_text("".join(f"{tmp_path}/here/x/{n}.jpg,dog\n" for n in range(3)))
    names = {d.impath.rsplit("/", 1)[1] for d in folder(tmp_path / "here").train_x}
    assert "Not used: 1 images below" in capsys.readouterr().out
    assert str(tmp_path) not in (tmp_path / "here" / ".kdpl_images.json").read_text()
    lines = (tmp_path / "here" / "labels.csv").read_text().replace(f"{tmp_path}/here/", "")
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "there" / "labels.csv").write_text(lines)
    assert {d.impath.rsplit("/", 1)[1] for d in folder(tmp_path / "there").train_x} == names  # the same division


def test_a_list_may_divide_and_coops_splits_are_lists(tmp_path):
    fill_folder(tmp_path, "x*4")
    (tmp_path / "labels.csv").write_text("path,label,split\nx/0.jpg,dog,train\nx/1.jpg,dog,test\nx/2.jpg,cat,train\n")
    dataset = folder(tmp_path)
    assert sizes(dataset) == (2, 0, 1) and labels(dataset.test) == [1]
    (tmp_path / "labels.csv").write_text("x/0.jpg,dog,train\nx/1.jpg,dog,Val\n")  # no header
    assert sizes(folder(tmp_path)) == (1, 1, 1)
    split = {"train": [["x/0.jpg", 0, "dog"]], "val": [["x/3.jpg", 0, "dog"]], "test": [["x/1.jpg", 0, "dog"]]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    assert sizes(folder(tmp_path, labels=str(tmp_path / "split.json"))) == (1, 1, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "path,label,split\nx/0.jpg,dog,tests\n", "the split of x/0.jpg is 'tests'"),
        ("labels.csv", "path,label,split\nx/0.jpg,dog,train\nx/1.jpg,dog,\n", "for some images only"),
        ("labels.csv", "x/0.jpg\n", "not a list of images and labels"),
        ("labels.csv", "", "not a list of images and labels"),
        ("labels.json", "{", "not a list of images and labels"),
        ("labels.json", "3", "not a list of images and labels"),
        ("labels.json", '[{"file": "x"}]', "not a list of images and labels"),
        ("labels.csv", "x/0.jpg,dog\nx/9.jpg,dog\n", "x/9.jpg: missing"),
        ("labels.csv", "path,label\nx/0.jpg,dog\n./x/0.jpg,cat\n", "lists x/0.jpg twice"),
    ],
)
def test_a_list_of_another_form_is_named(tmp_path, name, content, message):
    fill_folder(tmp_path, "x*4")
    (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        folder(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="needs the folder of your images: --root"):
        folder("")
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'nowhere'}. Name that of your images"):
        folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There are no images below"):
        folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="DATASET.FOLDER.LABELS names"):
        folder(tmp_path, labels=str(tmp_path / "labels.csv"))
    fill_folder(tmp_path, "dog*2", "*1")
    with pytest.raises(ValueError, match="1 images beside them, such as 0.jpg"):
        folder(tmp_path)


@pytest.fixture
def odd_images(tmp_path):
    """A folder with images of every kind that people have."""
    root = tmp_path / "odd"
    noise = Image.effect_noise((40, 30), 60)
    rgb = Image.merge("RGB", [noise, noise.rotate(90), noise])
    root.mkdir()
    rgb.save(root / "plain.JPG")
    rgb.convert("CMYK").save(root / "cmyk.jpg")
    rgb.quantize().save(root / "palette.png")
    rgb.convert("RGBA").save(root / "alpha.webp")
    noise.save(root / "animated.gif", save_all=True, append_images=[noise.rotate(5), noise.rotate(9)])
    Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)).save(root / "sixteen.png")
    Image.fromarray(np.full((8, 8), 0x8000, dtype=">u2")).save(root / "swapped.tif")  # as some microscopes write them
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(root / "turned.jpg", exif=exif)
    Image.new("1", (6000, 6000)).save(root / "large.png")
    (root / "empty.jpg").write_bytes(b"")
    (root / "page.jpg").write_text("<html>")
    (root / "cut.jpg").write_bytes((root / "plain.JPG").read_bytes()[:400])
    Image.new("1", (20000, 20000)).save(root / "huge.png")  # more pixels than Pillow decodes
    (root / "notes.txt").write_text("no image by its name")
    (root / ".hidden.jpg").write_bytes(b"")
    (root / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "nothing.jpg").symlink_to("nowhere.jpg")
    (root / "folder.jpg").mkdir()
    shutil.copy(root / "plain.JPG", os.fsencode(root) + b"/\xff.jpg")
    os.mkfifo(root / "pipe.jpg")
    return root


def test_odd_images_become_rgb_and_broken_ones_are_left_out_by_name(odd_images, capsys):
    (odd_images / "classnames.txt").write_text("cat\ndog\n")
    dataset = folder(odd_images)
    kept = {datum.impath.rsplit("/", 1)[1] for datum in dataset.train_x}
    assert kept == {
        "plain.JPG", "cmyk.jpg", "palette.png", "alpha.webp", "animated.gif", "sixteen.png", "turned.jpg", "large.png",
        "swapped.tif",
    }  # fmt: skip
    report = capsys.readouterr().out
    assert "Left out, because they cannot be read: 8" in report
    for line in (
        "  empty.jpg: empty",
        "  page.jpg: not an image",
        "  cut.jpg: ",
        "  huge.png: Image size",
        "  phone.HEIC: not an image, or of a kind that Pillow cannot read",
        "  nothing.jpg: a link to nothing",
        "  pipe.jpg: a pipe",
        "  \\udcff.jpg: its name is not UTF-8",
    ):
        assert line in report
    images = {datum.impath.rsplit("/", 1)[1]: read_image(datum.impath) for datum in dataset.train_x}
    assert {image.mode for image in images.values()} == {"RGB"}
    for name in ("sixteen.png", "swapped.tif"):  # half of the brightness, not cut off at 255
        assert images[name].getpixel((0, 0)) == (128, 128, 128)
    assert images["turned.jpg"].size == (40, 30)  # as torchvision's loader: the orientation is not applied


def test_images_that_all_cannot_be_read_are_an_error(tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "classnames.txt").write_text("cat\n")
    with pytest.raises(ValueError, match="No image for train .*(?s:.)*0.jpg: empty"):
        folder(tmp_path)


def test_a_test_set_that_is_not_tested_is_not_opened(tmp_path):
    fill_folder(tmp_path, "train*3", "test/cat*2")
    for path in (tmp_path / "test" / "cat").iterdir():
        path.write_bytes(b"unreadable")
    assert sizes(folder(tmp_path, no_test=True)) == (3, 0, 2)
    with pytest.raises(ValueError, match="No image for test"):
        folder(tmp_path)
    shutil.move(tmp_path / "test" / "cat" / "0.jpg", tmp_path / "test")
    shutil.rmtree(tmp_path / "test" / "cat")
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    assert sizes(folder(tmp_path)) == (3, 0, 1)  # without labels there is no test


def test_cifar10_labelled_and_unlabelled(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cifar = shared / "data" / "mini" / "cifar10"
    dataset = folder(cifar, shots=16)
    assert sizes(dataset) == (160, 0, 600) and dataset.classnames[:2] == ["airplane", "automobile"]
    unlabelled = tmp_path / "photos"
    unlabelled.mkdir()
    for n, path in enumerate(sorted((cifar / "train").rglob("*.jpg"))[::10]):
        shutil.copy(path, unlabelled / f"{n}.jpg")
    (unlabelled / "classnames.txt").write_text("\n".join(dataset.classnames))
    cfg = dataset_cfg(unlabelled, "Folder", shots=16)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.SIZE, cfg.INPUT.INTERPOLATION = (32, 32), "bicubic"
    manager = DataManager(cfg)
    assert manager.num_classes == 10 and len(manager.dataset.train_x) == 200
    assert set(next(iter(manager.test_loader))["label"].tolist()) == {UNKNOWN}
