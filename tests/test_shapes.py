"""The drawn datasets: names, pictures, and how they get onto the disk."""

import collections
import itertools
import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
from dassl.config import get_cfg_default
from PIL import Image

from datasets import shapes
from datasets.shapes_drawing import CONDITIONS, HUES, MEDIA, draw
from datasets.shapes_drawing import SHAPES as DRAWN_SHAPES
from datasets.shapes_drawing import TEXTURES as DRAWN_TEXTURES
from kdpl.distillation.vocabulary import load_vocabulary
from trainers.kdpl.config import extend_cfg

FEW = {"train": 2, "val": 1, "test": 1}  # images per class, so that drawing is quick
N_FEW = 96 * 4


@pytest.fixture
def few(monkeypatch):
    """Datasets are drawn with few images."""
    monkeypatch.setattr(shapes, "IMAGES_PER_CLASS", FEW)


@pytest.fixture
def drawn(few, tmp_path):
    """The folder of a small ``shapes``."""
    draw_into(tmp_path / "data" / "shapes")
    return tmp_path / "data" / "shapes"


def draw_into(folder):
    shapes.draw_once(folder / "images", folder / "split_shapes.json", "plain")


def draw_few_into(folder):
    shapes.IMAGES_PER_CLASS = FEW
    draw_into(folder)


def configured(root, subsample="all", shots=16, seed=1):
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.DATASET.ROOT, cfg.DATASET.SUBSAMPLE_CLASSES, cfg.DATASET.NUM_SHOTS = str(root), subsample, shots
    cfg.SEED = seed
    return cfg


def test_both_halves_of_the_classes_have_the_same_words_and_pairs_of_words_but_no_class():
    classes = shapes.class_words()
    assert len(set(classes)) == 96
    base, new = classes[:48], classes[48:]
    for places in [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]:
        parts = [collections.Counter(tuple(words[i] for i in places) for words in half) for half in (base, new)]
        assert parts[0] == parts[1], places


def test_a_picture_is_a_function_of_its_words_and_its_generator():
    words = "red", "striped", "circle", "poster", "plain"
    first = draw(np.random.default_rng(1), *words)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, draw(np.random.default_rng(1), *words))
    assert not np.array_equal(first, draw(np.random.default_rng(2), *words))


def test_every_word_changes_the_picture():
    start = ["red", "striped", "circle", "poster", "plain"]
    others = [list(HUES), list(DRAWN_TEXTURES), list(DRAWN_SHAPES), MEDIA, CONDITIONS]
    reference = draw(np.random.default_rng(1), *start).astype(int)
    for place, words in enumerate(others):
        for word in set(words) - {start[place]}:
            changed = draw(np.random.default_rng(1), *start[:place], word, *start[place + 1 :])
            assert np.abs(changed - reference).mean() > 2, word  # grey levels


def test_red_is_red_on_a_photo_and_turned_towards_yellow_on_a_poster():
    def ink(medium):
        pixels = [
            draw(np.random.default_rng(i), "red", "solid", "square", medium, "plain")[28:36, 28:36] for i in range(20)
        ]
        return np.mean(pixels, axis=(0, 1, 2))

    # The middle of the picture is always inside the shape. On posters the hue is about 40 degrees, so green is about
    # 40 / 60 = two thirds of the way from the weakest channel to the strongest.
    photo_red, photo_green, photo_blue = ink("photo")
    poster_red, poster_green, poster_blue = ink("poster")
    assert (photo_green - photo_blue) / (photo_red - photo_blue) < 0.15
    assert (poster_green - poster_blue) / (poster_red - poster_blue) == pytest.approx(2 / 3, abs=0.1)


def test_base_and_new_load_with_sixteen_shots(tmp_path):
    base = shapes.Shapes(configured(tmp_path, "base"))
    new = shapes.Shapes(configured(tmp_path, "new"))
    assert (len(base.train_x), len(base.val), len(base.test)) == (48 * 16, 48 * 4, 48 * 20)
    assert base.classnames == [" ".join(words) for words in shapes.class_words()[:48]]
    assert new.classnames == [" ".join(words) for words in shapes.class_words()[48:]]
    with Image.open(base.train_x[0].impath) as image:
        assert image.size == (64, 64)


def test_every_dataset_draws_its_own_condition(few, tmp_path):
    mean = {}
    for dataset in (shapes.Shapes, shapes.ShapesNight, shapes.ShapesNoise, shapes.ShapesSketch):
        loaded = dataset(configured(tmp_path, shots=1))
        assert len(loaded.test) == 96
        mean[dataset] = np.mean([np.asarray(Image.open(item.impath)) for item in loaded.test])
    assert mean[shapes.ShapesNight] < 80 < 150 < mean[shapes.Shapes] < mean[shapes.ShapesSketch]


def test_drawing_again_gives_the_same_files(drawn, tmp_path):
    draw_into(tmp_path / "shapes")
    names = sorted(path.relative_to(drawn) for path in drawn.rglob("*.j*"))
    assert len(names) == N_FEW + 1
    assert all((drawn / name).read_bytes() == (tmp_path / "shapes" / name).read_bytes() for name in names)


def test_a_complete_dataset_is_left_alone(drawn):
    before = (drawn / "images").stat().st_ino
    draw_into(drawn)
    assert (drawn / "images").stat().st_ino == before


@pytest.mark.parametrize("missing", ["split_shapes.json", "images", "images/red_solid_circle/test_00.jpg"])
def test_an_incomplete_dataset_is_drawn_again(drawn, missing):
    leftover = drawn / ".images.killed.part"  # of a process that was killed while it drew
    leftover.mkdir()
    path = drawn / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    draw_into(drawn)
    assert len(list(drawn.glob("images/*/*.jpg"))) == N_FEW
    assert json.loads((drawn / "split_shapes.json").read_text())["train"][0][2] == "red solid circle"
    assert not leftover.exists()


def test_a_disk_that_fills_up_leaves_nothing_behind(few, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ValueError, match="could not be written to .*No space left on device"):
        draw_into(tmp_path / "shapes")
    assert [path.name for path in (tmp_path / "shapes").iterdir()] == [".split_shapes.lock"]


def test_two_processes_that_start_together_draw_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=draw_few_into, args=(tmp_path / "shapes",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(tmp_path.glob("shapes/images/*/*.jpg"))) == N_FEW
    left = {path.name for path in (tmp_path / "shapes").iterdir()}
    assert left == {"images", "split_shapes.json", ".split_shapes.lock"}


def test_a_root_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match="could not be written to .*file/shapes/images"):
        shapes.Shapes(configured(tmp_path / "file"))


def test_the_vocabulary_holds_the_class_names_and_their_words_among_a_thousand_names():
    names = load_vocabulary(str(Path(__file__).parents[1] / "assets" / "demo" / "vocabulary.txt"))
    assert len(names) >= 1000
    assert {" ".join(words) for words in shapes.class_words()} <= set(names)
    assert set(itertools.chain(*shapes.class_words())) <= set(names)
