"""`kdpl predict`: the same rows from folders, shards, lists and Ray; killed anywhere, it ends with the same bytes."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

import kdpl
from kdpl.__main__ import main
from kdpl.inference import predicting
from kdpl.inference.items import each_item
from kdpl.methods import METHODS
from kdpl.prompts.prompt_file import describe_prompts, save_prompt_file
from tests.tiny_datasets import write_jpeg

ROOT = Path(__file__).parents[1]
CLASSNAMES = ["red solid circle", "blue striped square", "<script>alert(1)</script>"]
N_PHOTOS, BATCH = 23, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photos in two folders, one of them unreadable; the same in two shards; a prompt file."""
    folder = tmp_path_factory.mktemp("predict")
    for i in range(N_PHOTOS):
        write_jpeg(folder / "photos" / f"sub{i % 2}" / f"{i:02}.jpg", i, (80 + i, 70))
    (folder / "photos" / "sub0" / "10.jpg").write_bytes(b"not a picture")
    (folder / "photos" / "notes.txt").write_text("not an image")
    for i in range(2):
        with tarfile.open(folder / f"sub{i}.tar", "w") as shard:
            for photo in sorted((folder / "photos" / f"sub{i}").iterdir()):
                shard.add(photo, photo.name)
                label = tarfile.TarInfo(f"{photo.stem}.cls")
                shard.addfile(label, io.BytesIO())
    clip, entry = kdpl.load_clip("demo:student"), METHODS["CoOp"]
    learner = entry.build_learner(clip, entry.complete({}), len(CLASSNAMES), seed=3)
    description = describe_prompts("CoOp", entry.complete({}), learner, clip, classnames=CLASSNAMES)
    save_prompt_file(folder / "prompts.safetensors", learner, description)
    return folder


def command(folder: Path, *arguments: object) -> list[str]:
    return ["predict", str(folder / "prompts.safetensors"), *map(str, arguments), "--device", "cpu"]


def rows_of(file: Path) -> list[dict]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def expected(folder) -> bytes:
    """The table of all photos."""
    output = folder / "expected.csv"
    assert main(command(folder, folder / "photos", "--batch-size", BATCH, "--output", output)) == 0
    return output.read_bytes()


def test_there_is_one_row_per_image_in_input_order_with_the_classes_of_predict(folder, expected):
    rows = rows_of(folder / "expected.csv")
    photos = sorted((folder / "photos").rglob("*.jpg"))
    assert [row["path"] for row in rows] == [str(photo) for photo in photos]
    classifier = kdpl.load(folder / "prompts.safetensors", device="cpu")
    predictions = classifier.predict(photos, top=3, batch_size=BATCH, unreadable="keep")
    for row, prediction in zip(rows, predictions, strict=True):
        if prediction.error:
            assert row["path"].endswith("10.jpg") and row["class_1"] == "" and row["error"] == prediction.error
        else:
            assert row["error"] == ""
            assert [(row[f"class_{i}"], row[f"probability_{i}"]) for i in (1, 2, 3)] == [
                (name, f"{probability:.6f}") for name, probability in prediction.top
            ]


def test_the_console_shows_one_line_per_image(folder, capsys):
    assert main(command(folder, folder / "photos", folder / "photos" / "sub1" / "01.jpg")) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == N_PHOTOS + 1 and lines[-1][1:] == lines[12][1:]
    assert [line[1] for line in lines if line[0].endswith("10.jpg")] == ["unreadable"]


def test_shards_and_a_list_on_standard_input_give_the_same_rows(folder, expected, tmp_path, monkeypatch):
    shards = [folder / "sub0.tar", folder / "sub1.tar"]
    assert main(command(folder, *shards, "--batch-size", BATCH, "--output", tmp_path / "shards.csv")) == 0
    from_shards = (
        (tmp_path / "shards.csv").read_bytes().decode().replace(".tar/", "/").replace(str(folder), f"{folder}/photos")
    )
    assert from_shards == expected.decode()
    photos = "".join(f"{item.path}\n" for item in each_item([str(folder / "photos")]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(photos))
    assert main(command(folder, "-", "--batch-size", BATCH, "--output", tmp_path / "listed.csv")) == 0
    assert (tmp_path / "listed.csv").read_bytes() == expected


def test_json_and_parquet_say_the_same_as_the_csv(folder, expected, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install matplotlib pyarrow")
    for ending in ("json", "parquet"):
        output = tmp_path / f"table.{ending}"
        assert main(command(folder, folder / "photos", "--batch-size", BATCH, "--output", output)) == 0
    records = json.loads((tmp_path / "table.json").read_text())
    assert parquet.read_table(tmp_path / "table.parquet").to_pylist() == records
    for record, row in zip(records, rows_of(folder / "expected.csv"), strict=True):
        texts = {k: f"{v:.6f}" if isinstance(v, float) else v or "" for k, v in record.items()}
        assert texts == row


def test_a_killed_run_continues_to_the_same_bytes(folder, expected, tmp_path):
    """In a separate process that dies after three batches, in the middle of writing a line."""
    code = (
        "import os, sys; from kdpl.__main__ import main; from kdpl.inference.journal import Journal\n"
        "append, batches = Journal.append, []\n"
        "def dying(self, rows):\n"
        "    append(self, rows); batches.append(rows)\n"
        "    if len(batches) == 3: self._stream.write('[[\"torn'); self._stream.flush(); os.kill(os.getpid(), 9)\n"
        "Journal.append = dying; sys.exit(main(sys.argv[1:]))"
    )
    output = tmp_path / "killed.csv"
    arguments = command(folder, folder / "photos", "--batch-size", BATCH, "--output", output, "--workers", 1)
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL and not output.exists()
    assert len(Path(f"{output}.journal").read_text().splitlines()) == 1 + 3 + 1
    assert main(arguments) == 0
    assert output.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["killed.csv"]


def test_a_journal_of_other_arguments_or_images_is_refused(folder, tmp_path, capsys, monkeypatch):
    output = tmp_path / "stopped.csv"
    arguments = command(folder, folder / "photos", "--batch-size", BATCH, "--output", output)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predicting, "write_table", stop)
        assert main(arguments) == 130
    assert main([*arguments, "--top", "2"]) == 2
    assert "top was 3, is 2" in capsys.readouterr().err
    moved = folder / "photos" / "sub0" / "04.jpg"
    moved.rename(folder / "04.jpg")
    assert main(arguments) == 2
    assert "images have changed" in capsys.readouterr().err
    (folder / "04.jpg").rename(moved)
    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.jpg",), "absent.jpg does not exist"),
        (("empty",), "contains no images"),
        (("photos", "--output", "table.xlsx"), "one of .csv, .json, .parquet"),
        (("photos", "--report", "page.pdf"), "must end in .html"),
        (("photos", "--top", "0"), "--top is 0"),
        (("broken.tar",), "uncompressed tar archive"),
        (("photos", "--classnames", "absent.txt"), "does not exist"),
    ],
)
def test_impossible_requests_are_refused_in_one_sentence(folder, arguments, message, monkeypatch, capsys):
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "broken.tar").write_bytes(b"1" * 1000)
    monkeypatch.chdir(folder)
    assert main(command(folder, *arguments)) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


def test_the_page_shows_the_least_certain_photos_first_and_names_are_text(folder, tmp_path):
    report = tmp_path / "page.html"
    assert main(command(folder, folder / "photos", "--report", report)) == 0
    page = report.read_text()
    probabilities = [float(p) for p in re.findall(r'data-p="([\d.]+)"', page)]
    assert len(probabilities) == N_PHOTOS - 1 and probabilities == sorted(probabilities)
    assert page.count("data:image/jpeg;base64,") == N_PHOTOS - 1
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    assert "10.jpg cannot be read" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # one file that loads nothing


def test_ray_gives_the_same_rows_also_when_a_process_dies(folder, expected, tmp_path):
    pytest.importorskip("ray.data", reason="needs Ray Data: pip install -r requirements-cluster.txt")
    output = tmp_path / "ray.csv"
    arguments = command(folder, folder / "photos", "--batch-size", BATCH, "--output", output, "--workers", 2)
    run = subprocess.Popen(
        [sys.executable, "-m", "kdpl", *arguments, "--engine", "ray"], cwd=ROOT, stderr=subprocess.PIPE
    )
    killed = False
    while run.poll() is None:
        if not killed and (worker := _ray_worker(run.pid)):
            os.kill(worker, signal.SIGKILL)
            killed = True
        time.sleep(0.05)
    assert run.returncode == 0, run.stderr.read().decode()
    assert killed and output.read_bytes() == expected


def _ray_worker(driver: int) -> int | None:
    """One of the processes that classify for this driver, once one has started."""
    listed = subprocess.run(["ps", "-eo", "pid,sid,args"], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        pid, _, title = line.split(None, 2)
        if title.startswith("ray::MapWorker(MapBatches(_Worker))") and _descends(int(pid), driver):
            return int(pid)
    return None


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False
