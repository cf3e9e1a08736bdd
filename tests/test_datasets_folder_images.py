"""Your own photos: odd and broken image files, and a real dataset."""

import os
import shutil

import numpy as np
import pytest
from dassl.data import DataManager
from dassl.utils import read_image
from PIL import Image

import datasets  # noqa: F401  registers Folder
from datasets.splits import UNKNOWN
from tests.own_photos import fill_folder, folder, sizes
from tests.tiny_datasets import dataset_cfg


@pytest.fixture
def odd_images(tmp_path):
    """A folder with images of every kind that users have."""
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
    assert "Skipped unreadable files: 8" in report
    for line in (
        "  empty.jpg: empty",
        "  page.jpg: not an image",
        "  cut.jpg: ",
        "  huge.png: Image size",
        "  phone.HEIC: not an image, or in a format that Pillow cannot read",
        "  nothing.jpg: a broken link",
        "  pipe.jpg: a pipe",
        "  \\udcff.jpg: its name is not UTF-8",
    ):
        assert line in report
    images = {datum.impath.rsplit("/", 1)[1]: read_image(datum.impath) for datum in dataset.train_x}
    assert {image.mode for image in images.values()} == {"RGB"}
    for name in ("sixteen.png", "swapped.tif"):  # half the brightness, not clipped at 255
        assert images[name].getpixel((0, 0)) == (128, 128, 128)
    assert images["turned.jpg"].size == (40, 30)  # as torchvision's loader: the orientation is not applied


def test_a_folder_without_any_readable_image_is_an_error(tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "classnames.txt").write_text("cat\n")
    with pytest.raises(ValueError, match="None of the train images .*(?s:.)*0.jpg: empty"):
        folder(tmp_path)


def test_a_test_set_that_is_not_tested_is_not_opened(tmp_path):
    fill_folder(tmp_path, "train*3", "test/cat*2")
    for path in (tmp_path / "test" / "cat").iterdir():
        path.write_bytes(b"unreadable")
    assert sizes(folder(tmp_path, no_test=True)) == (3, 0, 2)
    with pytest.raises(ValueError, match="None of the test images"):
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
