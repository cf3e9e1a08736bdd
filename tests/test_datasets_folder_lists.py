"""Lists of images and labels for your own photos, in every format that users have."""

import json

import pytest

import datasets  # noqa: F401  registers Folder
from datasets.splits import UNKNOWN
from tests.own_photos import fill_folder, folder, labels, sizes

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
    with pytest.raises(ValueError, match="labels.csv is not UTF-8 text"):
        folder(tmp_path)


def test_labels_that_are_numbers_are_lines_of_the_class_names_or_sorted_by_size(tmp_path):
    fill_folder(tmp_path, "x*4")
    (tmp_path / "labels.json").write_text(json.dumps({"x/0.jpg": 10, "x/1.jpg": 9, "x/2.jpg": "9"}))
    assert folder(tmp_path).classnames == ["9", "10"]
    (tmp_path / "classnames.txt").write_text("wolf\nlynx\n")
    with pytest.raises(ValueError, match="not among the 2 given class names: 9, 10"):
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
        ("labels.csv", "path,label,split\nx/0.jpg,dog,train\nx/1.jpg,dog,\n", "for only some images"),
        ("labels.csv", "x/0.jpg\n", "not a list of images with labels"),
        ("labels.csv", "", "not a list of images with labels"),
        ("labels.json", "{", "not a list of images with labels"),
        ("labels.json", "3", "not a list of images with labels"),
        ("labels.json", '[{"file": "x"}]', "not a list of images with labels"),
        ("labels.csv", "x/0.jpg,dog\nx/9.jpg,dog\n", "x/9.jpg: missing"),
        ("labels.csv", "path,label\nx/0.jpg,dog\n./x/0.jpg,cat\n", "lists x/0.jpg as both"),
    ],
)
def test_a_malformed_list_is_named(tmp_path, name, content, message):
    fill_folder(tmp_path, "x*4")
    (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        folder(tmp_path)
    assert str(tmp_path) in str(error.value)
