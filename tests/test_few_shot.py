"""Splits, few-shot draws and halves of classes."""

import json
import random
import subprocess
import sys

import pytest

from datasets.splits import Item, Split, few_shot_draw, half_of_classes, read_split
from tests.tiny_datasets import Tiny, dataset_cfg, make_tiny, tiny_split

WITH_PUBLISHED_DRAWS = [
    ("caltech-101", "101_ObjectCategories/"), ("dtd", "images/"), ("eurosat", "2750/"), ("oxford_flowers", "jpg/"),
    ("oxford_pets", "images/"), ("stanford_cars", ""), ("ucf101", "UCF-101-midframes/"),
]  # fmt: skip


@pytest.mark.parametrize(("folder", "image_dir"), WITH_PUBLISHED_DRAWS)
def test_the_published_draws_are_reproduced_in_their_order(shared, folder, image_dir):
    split = read_split(next((shared / "data" / folder).glob("split_zhou_*.json")))
    references = sorted((shared / "data" / folder / "fewshot_reference").glob("*.json"))
    assert len(references) == 3
    for reference in references:
        shots, seed = (int(word.split("_")[-1]) for word in reference.stem.split("-seed"))
        drawn, published = few_shot_draw(split, shots, seed), json.loads(reference.read_text())
        for part in ("train", "val"):
            expected = [
                Item(entry["impath"].removeprefix(f"./data/{folder}/{image_dir}"), entry["label"], entry["classname"])
                for entry in published[part]["data"]
            ]
            assert getattr(drawn, part) == expected, (reference, part)


def test_a_draw_is_that_of_the_seeded_global_generator_and_leaves_that_alone():
    split = Split.of([Item(f"{c}{i}", c, str(c)) for c in (2, 0, 1) for i in range(9)], [], [])
    random.seed(7)
    state = random.getstate()
    expected = [item for c in (2, 0, 1) for item in random.sample([i for i in split.train if i.label == c], 3)]
    random.setstate(state)
    assert few_shot_draw(split, 3, seed=7).train == expected
    assert random.getstate() == state


def test_a_class_with_too_few_images_keeps_all_and_no_shots_means_everything():
    split = Split.of([Item(f"{c}{i}", c, str(c)) for c, n in ((0, 2), (1, 9)) for i in range(n)], [], [])
    assert [item.label for item in few_shot_draw(split, 4, 1).train] == [0] * 2 + [1] * 4
    assert few_shot_draw(split, -1, 1) == few_shot_draw(split, 0, 1) == split


def test_base_is_the_larger_half_and_new_counts_from_0_again(tmp_path):
    make_tiny(tmp_path)
    base, new = (Tiny(dataset_cfg(tmp_path, shots=2, subsample=half)) for half in ("base", "new"))
    assert base.classnames == ["class_0", "class_1", "class_2"]
    assert new.classnames == ["class_3", "class_4"] and new.num_classes == 2
    assert [datum.label for datum in new.test] == [0, 0, 1, 1]
    assert [datum.classname for datum in new.test] == ["class_3"] * 2 + ["class_4"] * 2
    assert len(base.train_x) == 6 and len(base.val) == 6 and len(new.train_x) == 4


def test_an_unknown_subset_of_classes_is_an_error_that_lists_the_three():
    split = Split.of([Item("a.jpg", 0, "a")], [], [])
    with pytest.raises(ValueError, match="'novel'; choose from all, base, new"):
        half_of_classes(split, "novel")
    with pytest.raises(ValueError, match="no second half"):
        half_of_classes(split, "new")


def test_a_draw_is_kept_with_relative_paths_and_used_again(tmp_path, capsys):
    folder = make_tiny(tmp_path)
    first = Tiny(dataset_cfg(tmp_path, shots=2, seed=3))
    kept = folder / "split_fewshot" / "shot_2-seed_3.json"
    draw = json.loads(kept.read_text())
    assert [str(folder / "images" / path) for path, *_ in draw["train"]] == [d.impath for d in first.train_x]
    assert str(tmp_path) not in kept.read_text()

    draw["train"].reverse()  # a draw of the user's own
    kept.write_text(json.dumps(draw))
    again = Tiny(dataset_cfg(tmp_path, shots=2, seed=3))
    assert [d.impath for d in again.train_x] == [d.impath for d in first.train_x][::-1]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda draw: draw["train"].__setitem__(0, ["class_0/gone.jpg", 0, "class_0"]),
        lambda draw: draw["train"].__setitem__(0, [draw["train"][0][0], 1, "class_1"]),
        lambda draw: draw["train"].pop(),
        lambda draw: draw["val"].append(draw["val"][0]),
        lambda draw: draw.pop("val"),
        lambda draw: draw["train"].__setitem__(0, [["class_0"], 0, "class_0"]),
        lambda draw: draw["train"].__setitem__(0, 5),
    ],
)
def test_a_kept_draw_that_does_not_fit_the_split_is_reported_and_drawn_again(tmp_path, capsys, spoil):
    folder = make_tiny(tmp_path)
    Tiny(dataset_cfg(tmp_path, shots=2))
    kept = folder / "split_fewshot" / "shot_2-seed_1.json"
    right = kept.read_text()
    draw = json.loads(right)
    spoil(draw)
    kept.write_text(json.dumps(draw))
    Tiny(dataset_cfg(tmp_path, shots=2))
    assert f"{kept} does not match the split (" in capsys.readouterr().out
    assert kept.read_text() == right


def test_a_kept_draw_that_was_cut_off_is_drawn_again(tmp_path, capsys):
    folder = make_tiny(tmp_path)
    Tiny(dataset_cfg(tmp_path, shots=2))
    kept = folder / "split_fewshot" / "shot_2-seed_1.json"
    right = kept.read_text()
    kept.write_text(right[:100])
    Tiny(dataset_cfg(tmp_path, shots=2))
    assert "drawing the images again" in capsys.readouterr().out and kept.read_text() == right


def test_a_folder_without_write_permission_is_left_alone_even_by_root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_tiny(tmp_path)
    before = sorted(folder.rglob("*"))
    folder.chmod(0o555)
    try:
        assert len(Tiny(dataset_cfg(tmp_path, shots=2)).train_x) == 10
        assert sorted(folder.rglob("*")) == before
    finally:
        folder.chmod(0o755)


def test_runs_that_start_together_read_the_same_draw(tmp_path):
    folder = make_tiny(tmp_path)
    code = (
        "import sys, datasets; from tests.tiny_datasets import Tiny, dataset_cfg\n"
        "print([d.impath for d in Tiny(dataset_cfg(sys.argv[1], shots=3)).train_x])"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0] and len(set(outputs)) == 1 and outputs[0]
    assert [path.name for path in (folder / "split_fewshot").iterdir()] == ["shot_3-seed_1.json"]


def spoiled(change):
    split = tiny_split()
    change(split)
    return json.dumps(split)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(tiny_split())[:500], "not valid JSON.*cut off.*Download the file again"),
        ("<!DOCTYPE html><html>Sign in</html>", "It is a web page"),
        ("", "is empty"),
        ("[1, 2]", r"contains \[1, 2\] instead of lists train, val and test"),
        (spoiled(lambda split: split.pop("val")), r"an object with the keys \['train', 'test'\]"),
        (spoiled(lambda split: split["test"].append(["a.jpg", "class"])), "the entry .* in test instead of"),
        (spoiled(lambda split: split["test"].append(["a.jpg", -1, "class"])), "the entry .* in test instead"),
        (spoiled(lambda split: split["val"].append(["a.jpg", 0, "other"])), "label 0 both 'class_0' and 'other'"),
        (spoiled(lambda split: split["test"].append(["a.jpg", 7, "other"])), r"no training images for .* \[5, 6, 7\]"),
        (spoiled(lambda split: split["train"].clear()), "no training images"),
    ],
)
def test_a_broken_split_file_is_named_with_what_is_wrong(tmp_path, content, message):
    folder = make_tiny(tmp_path)
    (folder / "split_tiny.json").write_text(content)
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        Tiny(dataset_cfg(tmp_path))
    assert str(folder / "split_tiny.json") in str(error.value)
