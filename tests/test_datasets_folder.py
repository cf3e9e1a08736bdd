"""Your own photos as a dataset: folder layouts, class names, what is reported, and what is refused."""

import pytest

import datasets  # noqa: F401  registers Folder
from datasets.folder import divide
from datasets.splits import UNKNOWN, Item
from tests.own_photos import fill_folder, folder, labels, sizes


def test_all_images_of_class_folders_are_trained_on_unless_some_are_asked_for_testing(tmp_path, capsys):
    fill_folder(tmp_path, "dog*10", "big_cat*10")
    dataset = folder(tmp_path)
    assert len(dataset.train_x) == 20 and dataset.val is None
    assert labels(dataset.train_x) == [0] * 10 + [1] * 10 and set(labels(dataset.test)) == {UNKNOWN}
    report = capsys.readouterr().out
    assert "Images for training: 20 labelled, 0 unlabelled" in report and "for validation" not in report
    assert "Images for testing: none with labels; accuracy cannot be measured (set DATASET.FOLDER.DIVIDE" in report
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
def test_shares_that_do_not_add_up_are_refused(tmp_path, shares):
    fill_folder(tmp_path, "dog*3")
    with pytest.raises(ValueError, match="DATASET.FOLDER.SHARES is .*add up to 1"):
        folder(tmp_path, shares=shares)


def test_parts_by_folders(tmp_path):
    fill_folder(tmp_path, "train/dog*3", "train/cat*2", "valid/dog*1", "test/cat*2", "test/dog*4")
    dataset = folder(tmp_path)
    assert sizes(dataset) == (5, 1, 6) and labels(dataset.test) == [0, 0, 1, 1, 1, 1]
    base, new = (folder(tmp_path, subsample=half) for half in ("base", "new"))
    assert (base.classnames, new.classnames) == (["cat"], ["dog"]) and sizes(new) == (3, 1, 4)


def test_folders_of_parts_may_be_spelt_differently_and_train_may_be_a_class(tmp_path, capsys):
    fill_folder(tmp_path / "parts", "Training/dog*3", "TEST/dog*2", "extra*1")
    assert sizes(folder(tmp_path / "parts")) == (3, 0, 2)
    assert "Not used: 1 images below" in capsys.readouterr().out
    fill_folder(tmp_path / "vehicles", "train*4", "bus*4")
    assert folder(tmp_path / "vehicles").classnames == ["bus", "train"]


def test_images_that_are_all_one_level_deeper_are_not_taken_for_one_class(tmp_path):
    fill_folder(tmp_path, "photos/dog*2", "photos/cat*2")
    with pytest.raises(ValueError, match=f"Use that folder: --root {tmp_path / 'photos'}"):
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
    with pytest.raises(ValueError, match="DATASET.TEMPLATE is .* it must contain {}"):
        folder(tmp_path, template=template)


def test_unlabelled_images_and_a_file_of_names_train_on_all_of_them(tmp_path, capsys):
    fill_folder(tmp_path, "*7", "2021/may*3")  # at any depth
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
    assert "Classes: unknown; training is class-agnostic" in capsys.readouterr().out


def test_names_determine_the_order_of_labels_and_may_be_spelt_differently(tmp_path):
    fill_folder(tmp_path / "photos", "polar_bear*2", "Ant*2")
    (tmp_path / "names.txt").write_text("Polar Bear\nant\nbee\n")
    dataset = folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"), shares=(0.5, 0, 0.5))
    assert dataset.classnames == ["Polar Bear", "ant", "bee"] and labels(dataset.test) == [0, 1]
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match="1 of the 2 classes .* not among the 2 given class names: polar_bear"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"))
    (tmp_path / "names.txt").write_text("ant\nAnt\npolar bear\n")
    with pytest.raises(ValueError, match="'ant' twice"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "names.txt"))
    with pytest.raises(FileNotFoundError, match="DATASET.FOLDER.CLASSNAMES is .*does not exist"):
        folder(tmp_path / "photos", classnames=str(tmp_path / "nowhere.txt"))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="needs the folder with your images: --root"):
        folder("")
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'nowhere'}. Set the folder of your images"):
        folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There are no images below"):
        folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="DATASET.FOLDER.LABELS is"):
        folder(tmp_path, labels=str(tmp_path / "labels.csv"))
    fill_folder(tmp_path, "dog*2", "*1")
    with pytest.raises(ValueError, match="1 images outside of them, such as 0.jpg"):
        folder(tmp_path)
