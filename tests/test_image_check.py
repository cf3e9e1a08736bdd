"""Unusable images are named before anything slow starts; intact ones are read once."""

import io
import os

import pytest
from PIL import Image

from datasets import image_check
from datasets.image_check import INDEX_FILE, check_images, image_fault
from tests.tiny_datasets import Tiny, dataset_cfg, make_tiny, write_jpeg


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_that_can_become_rgb_passes(tmp_path, mode):
    image = Image.new("L", (9, 7), 100) if mode == "I;16" else Image.new("RGB", (9, 7), "red")
    path = tmp_path / {"CMYK": "a.jpg", "YCbCr": "a.jpg"}.get(mode, "a.png")
    (image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)).save(path)
    assert image_fault(path) is None


def test_animations_pass_and_so_does_what_has_an_orientation(tmp_path):
    frames = [Image.new("P", (8, 8), colour) for colour in (1, 2, 3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert image_fault(tmp_path / "a.gif") is None and image_fault(tmp_path / "a.jpg") is None


def test_what_is_wrong_with_a_file_is_reported_in_a_few_words(tmp_path):
    whole = write_jpeg(tmp_path / "whole.jpg", size=(200, 200)).read_bytes()
    png = io.BytesIO()
    Image.effect_noise((99, 99), 50).save(png, "PNG")
    files = {
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "last_bytes.jpg": (whole[:-800], "truncated"),
        "cut.png": (png.getvalue()[: len(png.getvalue()) // 2], "truncated"),
        "zero.jpg": (b"", "empty, 0 bytes"),
        "page.jpg": (b"<html>not found</html>", "not an image"),
        "bits.png": (b"", "empty"),
    }
    for name, (content, fault) in files.items():
        (tmp_path / name).write_bytes(content)
        assert fault in image_fault(tmp_path / name), name
    Image.new("F", (4, 4)).save(tmp_path / "deep.tif")
    assert "32-bit pixels" in image_fault(tmp_path / "deep.tif")


def test_an_image_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "exceeds limit" in image_fault(write_jpeg(tmp_path / "huge.jpg", size=(30, 30)))


def test_all_bad_files_are_in_one_error_the_first_ten_by_name(tmp_path):
    for n in range(15):
        write_jpeg(tmp_path / f"{n:02}.jpg", n)
    for n in range(12):
        (tmp_path / f"{n:02}.jpg").write_bytes(b"")
    with pytest.raises(ValueError) as error:
        check_images(tmp_path, [f"{n:02}.jpg" for n in range(15)], tmp_path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"12 of 15 images below {tmp_path} cannot be used:"
    assert lines[1] == "  00.jpg: empty, 0 bytes" and lines[10].startswith("  09.jpg") and lines[11] == "  and 2 more"
    assert "start again" in lines[12]


def test_missing_images_are_named_before_the_run(tmp_path):
    folder = make_tiny(tmp_path)
    (folder / "images" / "class_1" / "test_0.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="class_1/test_0.jpg: missing"):
        Tiny(dataset_cfg(tmp_path))


def test_a_test_set_that_the_run_leaves_alone_has_to_be_there_but_is_not_opened(tmp_path):
    folder = make_tiny(tmp_path)
    path = folder / "images" / "class_1" / "test_0.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="class_1/test_0.jpg: not an image"):
        Tiny(dataset_cfg(tmp_path))
    cfg = dataset_cfg(tmp_path)
    cfg.TEST.NO_TEST = True
    assert len(Tiny(cfg).test) == 10
    path.unlink()
    with pytest.raises(FileNotFoundError, match="class_1/test_0.jpg: missing"):
        Tiny(cfg)


def test_images_outside_the_draw_are_not_opened(tmp_path):
    folder = make_tiny(tmp_path)
    drawn = {datum.impath for datum in Tiny(dataset_cfg(tmp_path, shots=2)).train_x}
    for path in (folder / "images").rglob("train_*.jpg"):
        if str(path) not in drawn:
            path.unlink()
    assert {datum.impath for datum in Tiny(dataset_cfg(tmp_path, shots=2)).train_x} == drawn


def test_good_images_are_read_once_until_they_change(tmp_path, monkeypatch):
    folder = make_tiny(tmp_path)
    Tiny(dataset_cfg(tmp_path))
    assert (folder / INDEX_FILE).is_file() and str(tmp_path) not in (folder / INDEX_FILE).read_text()
    read = []
    monkeypatch.setattr(image_check, "image_fault", lambda path: read.append(path.name))
    moved = tmp_path / "moved"
    os.makedirs(moved)
    os.rename(folder, moved / "tiny")  # a data root may be moved
    Tiny(dataset_cfg(moved))
    assert read == []
    write_jpeg(moved / "tiny" / "images" / "class_0" / "train_0.jpg", 77, size=(50, 50))
    Tiny(dataset_cfg(moved))
    assert read == ["train_0.jpg"]


def test_without_permission_the_index_is_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_tiny(tmp_path)
    folder.chmod(0o555)
    try:
        Tiny(dataset_cfg(tmp_path))
        assert not (folder / INDEX_FILE).exists()
        assert len(list((tmp_path / "cache" / "kdpl" / "images").iterdir())) == 1
        monkeypatch.setattr(image_check, "image_fault", lambda path: "read again")
        Tiny(dataset_cfg(tmp_path))
    finally:
        folder.chmod(0o755)


def test_an_index_from_before_a_folder_became_read_only_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_tiny(tmp_path)
    Tiny(dataset_cfg(tmp_path))
    folder.chmod(0o555)
    monkeypatch.setattr(image_check, "image_fault", lambda path: "read again")
    try:
        Tiny(dataset_cfg(tmp_path))
    finally:
        folder.chmod(0o755)


def test_a_broken_index_is_made_again(tmp_path):
    folder = make_tiny(tmp_path)
    for content in ("{", "[]", '{"class_0/train_0.jpg": 5}'):
        (folder / INDEX_FILE).write_text(content)
        Tiny(dataset_cfg(tmp_path))
        assert '"class_4/test_1.jpg": [' in (folder / INDEX_FILE).read_text().replace("\n", "")
