"""Files made to do harm: none is executed, waited for, unpacked without limit, or trusted."""

import errno
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kdpl.atomic_files import NODE, atomic_path, check_place, write_json_atomically
from kdpl.clip.weight_files import read_state_dict
from kdpl.images.files import list_images, read_image, unreadable_images
from kdpl.inference.items import check_sources, each_item
from kdpl.prompts.inert_files import read_checkpoint, save_atomically
from kdpl.prompts.prompt_file import read_prompt_file
from kdpl.run_record import read_record
from tools.data.sources import RemoteFile
from tools.data.unpacking import move_into, unpack_into

from .conftest import ROOT, unpacks

READERS = (read_state_dict, read_checkpoint, read_prompt_file)
EXAMPLES = int(os.environ.get("KDPL_EXAMPLES", "40"))


def pickled_build() -> bytes:
    """GLOBAL, then BUILD with a state, which would set attributes of the function itself."""
    state = pickle.dumps((None, {"__defaults__": ("changed",)}), protocol=2)[2:-1]
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b."


def test_a_checkpoint_cannot_change_a_function(tmp_path):
    before = torch._utils._rebuild_tensor_v2.__defaults__
    save_atomically(tmp_path / "file", {"a": 1})
    with zipfile.ZipFile(tmp_path / "file") as source, zipfile.ZipFile(tmp_path / "changed", "w") as target:
        for name in source.namelist():
            target.writestr(name, pickled_build() if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(ValueError, match="it sets attributes of a"):
        read_checkpoint(tmp_path / "changed")
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


@pytest.mark.parametrize("read", READERS)
def test_a_tar_is_refused_before_torch_unpacks_it(read, tmp_path):
    os.mkfifo(tmp_path / "sys_info")
    with tarfile.open(tmp_path / "weights.pt", "w") as archive:
        for name in ("sys_info", "pickle"):
            archive.add(tmp_path / "sys_info", name)
    with pytest.raises(ValueError, match="weights.pt is a tar archive|weights.pt is not a weights file"):
        read(tmp_path / "weights.pt")


@pytest.mark.parametrize("read", READERS)
def test_pipes_folders_and_bombs_are_refused(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe"):
        read(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "none")
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**26))
    with pytest.raises(ValueError, match="bomb is refused: it would unpack to 67,108,864 bytes"):
        read(tmp_path / "bomb")


def test_pipes_and_devices_among_images_are_named_and_never_opened(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, target in (("circle.jpg", "circle.jpg"), ("device.jpg", "/dev/zero"), ("nothing.jpg", "none")):
        (tmp_path / name).symlink_to(target)
    odd = {
        "circle.jpg": "a circular link", "device.jpg": "a device", "nothing.jpg": "a broken link",
        "pipe.jpg": "a pipe",
    }  # fmt: skip
    paths = list_images(tmp_path)
    assert [path.name for path in paths] == ["circle.jpg", "device.jpg", "good.png", "nothing.jpg", "pipe.jpg"]
    for whole in (True, False):
        assert unreadable_images(paths, whole) == {str(tmp_path / name): fault for name, fault in odd.items()}
    for name in odd:
        with pytest.raises((ValueError, FileNotFoundError), match=f"{name} is a .*; an image is needed"):
            read_image(tmp_path / name)
        with pytest.raises((ValueError, FileNotFoundError), match=f"{name} is a .*|{name} does not exist"):
            check_sources([str(tmp_path / name)])
    os.mkfifo(tmp_path / "shard.tar")
    with pytest.raises(ValueError, match="shard.tar is a pipe"):
        next(each_item([str(tmp_path / "shard.tar")]))


@pytest.mark.parametrize(
    "content", [bytes(5000), b"PK\x03\x04" + b"\xff" * 600 + b"PK\x05\x06" + bytes(18), b"hello\n"]
)
@pytest.mark.parametrize("read", READERS)
def test_errors_of_other_libraries_get_our_own_messages(read, content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file (is not a|is no|begins with zeros|cannot be read)") as caught:
        read(tmp_path / "file")
    assert not re.search("Memo value|codec|magic number|miniz", str(caught.value))


def test_a_tensor_larger_than_its_numbers_and_endless_numbers_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(10**9)}, tmp_path / "expanded")
    with pytest.raises(ValueError, match="a tensor of shape .* with too few numbers"):
        read_checkpoint(tmp_path / "expanded")
    torch.save({"epoch": 2**80}, tmp_path / "number")
    with pytest.raises(ValueError, match="a number of more than 64 bits"):
        read_checkpoint(tmp_path / "number")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "file"
    save_atomically(file, {"state_dict": {"ctx": torch.ones(4, 8)}, "epoch": 3, "settings": "{}"})
    return file.read_bytes()


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(data=st.data())
def test_damaged_checkpoints_are_read_or_refused_in_our_words(whole, tmp_path_factory, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for read in READERS:
        try:
            read(file)
        except ValueError as error:
            assert type(error) is ValueError and str(file) in str(error)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"correct": 9}, "the evaluation has 9 correct of 8 images"),
        ({"correct": -1}, "evaluation correct is -1"),
        ({"total": 0}, "evaluation total is 0"),
        ({"total": "8"}, "evaluation total is '8'"),
        ({"accuracy": 120.0}, "evaluation accuracy is 120.0"),
        ({"accuracy": 50.0}, "7 of 8 correct, and an accuracy of 50.0"),
        ({"per_class": [{"classname": "a", "correct": 3, "total": 2}]}, "class a has 3 correct of 2"),
        ({"per_class": [3]}, "a class is 3"),
        ({"dataset": None}, "evaluation dataset is None"),
    ],
)
def test_impossible_records_are_refused(change, words, tmp_path):
    evaluation = {"dataset": "D", "correct": 7, "total": 8, "accuracy": 87.5}
    record = {"format": 1, "status": "finished", "mode": "eval", "trainer": "ZeroshotCLIP", "dataset": "D", "seed": 1}
    record |= {"shots": 16, "backbone": "demo:student", "evaluations": [evaluation]}
    (tmp_path / "results.json").write_text(json.dumps(record))
    assert read_record(tmp_path / "results.json").evaluations[0].correct == 7
    (tmp_path / "results.json").write_text(json.dumps(record | {"evaluations": [evaluation | change]}))
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        read_record(tmp_path / "results.json")


def tar_of(path, *members):
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return info


@unpacks
def test_an_archive_with_a_link_is_refused_and_nothing_is_written(tmp_path):
    folder, outside = tmp_path / "data" / "set", tmp_path / "data" / "other"
    outside.mkdir(parents=True)
    archive = tar_of(
        tmp_path / "a.tar", (member("in/up", tarfile.SYMTYPE, "../in/x"), b""), (member("in/x/a.jpg"), b"x")
    )
    with pytest.raises(ValueError, match="a.tar is refused: it contains a link, up"):
        unpack_into(archive, RemoteFile("a.tar", moves=(("in", "images"),)), folder)
    assert list(folder.iterdir()) == [] and list(outside.iterdir()) == []


def test_files_are_not_written_through_a_link(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "place" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "new" / "cat").mkdir(parents=True)
    (tmp_path / "new" / "cat" / "1.jpg").touch()
    with pytest.raises(ValueError, match="cat is a link, through which files would be written"):
        move_into(tmp_path / "new", tmp_path / "place")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@unpacks
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.data.unpacking.SLACK", 2**16)
    path, zeros = tmp_path / f"a.{kind}", bytes(2**20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(3):
                archive.writestr(f"in/{i}", zeros)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for i in range(3):
                info = member(f"in/{i}")
                info.size = len(zeros)
                archive.addfile(info, io.BytesIO(zeros))
    with pytest.raises(ValueError, match="is refused: it unpacks to over 20 times its size"):
        unpack_into(path, RemoteFile(path.name, moves=(("in", "images"),)), tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == []


WITHOUT = """
import os, sys, torch
for name in ("sysconf", "sched_getaffinity", "uname", "fchmod", "pread", "pwrite"):
    if hasattr(os, name): delattr(os, name)
for module in ("fcntl", "resource"):
    sys.modules[module] = None
import PIL.Image, kdpl
images = [PIL.Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "black")]
demo = {"student": "demo:student", "teacher": "demo:teacher", "device": "cpu", "progress": False}
classifier = kdpl.distill(images, ["red circle", "blue square"], epochs=1, batch_size=2, output=sys.argv[1], **demo)
print(classifier.predict(images[0])[0].classname)
kdpl.distill(images, ["red circle", "blue square"], epochs=1, batch_size=2, cache=sys.argv[1] + ".cache", **demo)
from kdpl.caching.features import open_cache
try:
    open_cache(sys.argv[1] + ".cache", "fp16")
except ValueError as error:
    print(error)
from kdpl.__main__ import main
print(main(["cache", sys.argv[1]]))
import train
print(train.main(["--help"]))
"""


def test_the_library_trains_and_predicts_without_what_other_systems_lack(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "prompts.safetensors")], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prompts.safetensors").is_file() and "usage: " in done.stdout
    told = "A feature cache on disk needs file locks that this system does not have"
    assert done.stdout.count(".cache is off because this system lacks file locks") == 1
    assert told in done.stdout and done.stderr.count(told) == 1  # of training, and of kdpl cache


def test_a_file_takes_the_place_of_nothing_but_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    for name, kind in (("pipe", "a pipe, a socket or a device"), ("folder", "a folder")):
        for write in (check_place, lambda path: write_json_atomically(path, {})):
            with pytest.raises(ValueError, match=f"{name} is {kind}; the output must be a regular file"):
                write(tmp_path / name)
    write_json_atomically(tmp_path / "link", {})
    assert not (tmp_path / "link").is_symlink() and os.path.exists("/dev/null")
    with pytest.raises(OSError) as caught:
        check_place("/proc/file")
    assert caught.value.filename == "/proc/file"  # not a temporary name
    check_place(tmp_path / "new" / "file")
    assert list((tmp_path / "new").iterdir()) == []


def test_partial_files_of_killed_processes_are_deleted_by_the_next_writer(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".file.{NODE}-{pid}.abc.part").touch()
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f".file.{NODE}-{os.getppid()}.abc.part", "file"]


def test_errors_of_a_full_disk_name_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError) as error, atomic_path(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "as Python's write() does, without a name")
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []
