"""Files from outside: whatever they contain, they give plain values or one error that names file and line."""

import csv
import io
import json
import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kdpl import outside

QUICK = settings(max_examples=int(os.environ.get("KDPL_EXAMPLES", "60")), deadline=None, database=None)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CELLS = st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=("Cs",)), min_size=1, max_size=8)
ROWS = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS.filter(str.strip), min_size=n, max_size=n)))


def refused(read, *arguments):
    with pytest.raises(ValueError) as caught:
        read(*arguments)
    assert type(caught.value) is ValueError, caught.value  # of ours, not one that passed through
    return str(caught.value)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.yaml"


def test_anything_but_a_file_is_named_by_its_kind(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to("circle")
    assert "is a pipe; a prompt file is needed" in refused(outside.check_file, tmp_path / "pipe", "prompt file")
    assert "is a folder" in refused(outside.read_text, tmp_path)
    assert "is a device" in refused(outside.read_text, "/dev/zero")
    assert "circle is a circular link; an image" in refused(outside.check_file, tmp_path / "circle", "image")
    for missing in (tmp_path / "link", tmp_path / "none", __file__ + "/below"):
        with pytest.raises(FileNotFoundError, match="does not exist|is a broken link; a file is needed"):
            outside.check_file(missing)
    kinds = [outside.fault_of_kind(path) for path in (*sorted(tmp_path.iterdir()), tmp_path / "none", __file__)]
    assert kinds == ["a circular link", "a broken link", "a pipe", "missing", ""]


def test_a_file_has_a_largest_size(file):
    file.write_bytes(b"x" * 11)
    assert "11 bytes" in refused(lambda: outside.read_bytes(file, most=10))


def test_text_is_in_utf8_or_marked(file):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_text("Käse\n", encoding=encoding)
        assert outside.read_lines(file) == ["Käse"]
    file.write_bytes("one\nKäse".encode("latin-1"))
    assert "file.yaml is not UTF-8 text: line 2 has an" in refused(outside.read_text, file)
    file.write_bytes(b"one\ntwo\0")
    assert "line 2: it contains a zero byte" in refused(outside.read_text, file)


@QUICK
@given(PLAIN)
def test_json_comes_back_as_it_was_written(content):
    assert outside.parse_json(json.dumps(content), "it") == content


@QUICK
@given(st.text())
def test_json_is_plain_values_or_an_error_with_the_file(text):
    try:
        outside.parse_json(text, "the file")
    except ValueError as error:
        assert type(error) is ValueError and str(error).startswith("the file")


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"a": 1,\n "a": 2}', "the key 'a' occurs more than once"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "it contains NaN"),
        ('{"a":\n\n oops}', "line 3"),
        ("<html>", "It is a web page"),
        ('{"a": [1, 2', "cut off"),
        ("9" * 10_000, "digits"),
        (" \n", "the file is empty"),
    ],
)
def test_invalid_json_is_reported(text, words):
    assert words in refused(outside.parse_json, text, "the file")


@QUICK
@given(ROWS)
def test_csv_comes_back_as_it_was_written(rows):
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    assert [row for _, row in outside.csv_rows(stream.getvalue(), "it")] == rows


@QUICK
@given(st.text())
def test_csv_is_rows_of_one_length_or_an_error_with_the_line(text):
    try:
        rows = [row for _, row in outside.csv_rows(text, "the file")]
        assert len({len(row) for row in rows}) <= 1
    except ValueError as error:
        assert type(error) is ValueError and str(error).startswith("the file, line")


@pytest.mark.parametrize(
    "text, words",
    [
        ("path,label\na,b,c\n", "line 2: 3 cells, but the lines above have 2"),
        ('path,label\n"a,b\n', "a quote is not closed"),
        (f"path,label\na,{'b' * (outside.MOST_CELL + 1)}\n", "line 2: field larger"),
    ],
)
def test_invalid_csv_is_reported(text, words):
    assert words in refused(lambda: list(outside.csv_rows(text, "the file")))
    assert len(list(outside.csv_rows(f"a,{'b' * 200_000}\n", "the file"))) == 1


@QUICK
@given(st.dictionaries(st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1), PLAIN, max_size=4))
def test_yaml_comes_back_as_it_was_written(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "written.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert outside.read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8"))


@QUICK
@given(st.text(st.sampled_from("ab:-*&!<>[]{}#|'\"\n 1")))
def test_yaml_is_a_mapping_or_an_error_with_the_file(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        assert isinstance(outside.read_yaml(file), dict)
    except ValueError as error:
        assert type(error) is ValueError and str(error).startswith(str(file))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text, words",
    [
        ("a: 1\nb: 2\na: 3\n", "line 1: this is not a YAML file of settings (the key 'a' occurs twice)"),
        ("a:\n  b: 1\n  b: 1\n", "line 2: this is not a YAML file of settings (the key 'b' occurs twice)"),
        ("a: &x\n  b: *x\n", "an alias (*) refers to itself"),
        (BOMB, "its aliases (*) expand to over"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "line 3: this is not a YAML file of settings (merge keys"),
        ("1: a\n", "a key is not text"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1"),
        ("[a, b]\n", "it has a list"),
        ("a: [1\n", "line 2"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: b: c\n", "line 1"),
        ("a: 1:30:00\n", "line 1: this is not a YAML file of settings (1:30:00 would be read in base 60 or 8"),
        ("a: [1, 010]\n", "010 would be read in base 60 or 8"),
        ("a: 2022-99-99\n", "not a YAML file of settings"),
        ("\x07", "not a YAML file of settings"),
    ],
)
def test_invalid_yaml_is_reported(file, text, words):
    file.write_text(text)
    assert words in refused(outside.read_yaml, file)


def test_a_configuration_is_never_executed(tmp_path):
    program, ran = tmp_path / "cfg.py", tmp_path / "ran"
    program.write_text(f"open({str(ran)!r}, 'w')\ncfg = {{}}\n")
    assert "its name must end in .yaml" in refused(outside.read_yaml, program)
    assert not ran.exists()
