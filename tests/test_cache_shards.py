"""Shards shared by processes that write, read and are killed: no wrong row, no row computed twice, the limit kept."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from kdpl.caching.blocks import digest
from kdpl.caching.shards import SUFFIX, Shards

FORK = multiprocessing.get_context("fork")  # importing torch afresh would take longer than the work itself
SPACES = [digest(b"space", bytes([i])) for i in range(3)]
ROW_BYTES = 600


def key(i: int) -> bytes:
    return digest(b"key", i.to_bytes(4, "little"))


def row(space: bytes, i: int) -> bytes:
    """The correct value of a key."""
    return (space + key(i)) * (ROW_BYTES // 32)


def size_of(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:  # removed for the limit
            continue
    return total


def in_processes(n: int, target, *arguments) -> list:
    started = [FORK.Process(target=target, args=arguments) for _ in range(n)]
    for process in started:
        process.start()
    return started


def read_and_write(folder: Path, max_bytes: int, faults: Path) -> None:
    """Continue until killed; note any error."""
    shards, draw = Shards(folder, max_bytes), random.Random(os.getpid())
    while True:
        space, first = draw.choice(SPACES), draw.randrange(2000)
        wanted = range(first, first + draw.choice([1, 8, 32]))
        for i in wanted:
            found = shards.read(space, key(i))
            if found not in (None, row(space, i)):
                (faults / f"wrong-{os.getpid()}").touch()
        with shards.claimed([key(i) for i in wanted]):
            shards.refresh()
            missing = [i for i in wanted if shards.read(space, key(i)) is None]
            shards.append(space, b"notes", {key(i): row(space, i) for i in missing})


def test_fifty_kills_of_four_processes_leave_no_wrong_row_and_keep_the_limit(tmp_path):
    folder, faults, max_bytes = tmp_path / "cache", tmp_path / "faults", 2_000_000
    faults.mkdir()
    work = (folder, max_bytes, faults)
    processes, draw, largest, killed = in_processes(4, read_and_write, *work), random.Random(0), 0, 0
    try:
        while killed < 50:
            until = time.monotonic() + draw.uniform(0.005, 0.06)
            while time.monotonic() < until:
                largest = max(largest, size_of(folder) if folder.exists() else 0)
                time.sleep(0.002)
            victim = processes.pop(draw.randrange(4))
            assert victim.is_alive()
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            killed += 1
            processes += in_processes(1, read_and_write, *work)
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert list(faults.iterdir()) == []
    assert max_bytes / 2 < largest <= max_bytes
    rows = [(space, i) for space in SPACES for i in range(2032)]
    shards = Shards(folder, max_bytes)
    kept = [(space, i) for space, i in rows if (found := shards.read(space, key(i))) and found == row(space, i)]
    assert len(kept) > 1000
    assert all(shards.read(space, key(i)) in (None, row(space, i)) for space, i in rows)


def compute_all(folder: Path, log: Path) -> None:
    """Compute twenty groups of keys while another process does the same; note each key that is computed."""
    shards = Shards(folder, 10**7)
    for start in range(0, 160, 8):
        keys = range(start, start + 8)
        with shards.claimed([key(i) for i in keys]):
            shards.refresh()
            missing = [i for i in keys if shards.read(SPACES[0], key(i)) is None]
            time.sleep(0.002 * bool(missing))  # as if computing took long
            with open(log, "a") as file:
                file.write("".join(f"{i}\n" for i in missing))
            shards.append(SPACES[0], b"notes", {key(i): row(SPACES[0], i) for i in missing})


def test_of_several_processes_that_lack_a_row_one_computes_it(tmp_path):
    for process in in_processes(4, compute_all, tmp_path / "cache", tmp_path / "log"):
        process.join()
        assert process.exitcode == 0
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(160))


def test_the_least_recently_used_rows_go_first(tmp_path):
    n_bytes, rows = 64 * 4_000, {}
    first = Shards(tmp_path, n_bytes)
    for i in range(1000):  # each shard takes a sixty-fourth of the limit
        first.append(SPACES[0], b"notes", {key(i): row(SPACES[0], i)})
        if i % 10 == 0:
            later = Shards(tmp_path, n_bytes)
            rows[i] = later.read(SPACES[0], key(0))
            for shard in later._shards.values():
                shard.close()
    assert set(rows.values()) == {row(SPACES[0], 0)}  # used again and again, so it is still there
    left = [i for i in range(1000) if first.read(SPACES[0], key(i))]
    assert left[0] == 0 and left[-1] == 999 and 400 < left[10] and size_of(tmp_path) <= n_bytes


def test_a_torn_end_is_cut_away_by_the_next_writer(tmp_path):
    shards = Shards(tmp_path, 10**7)
    shards.append(SPACES[0], b"notes", {key(0): row(SPACES[0], 0)})
    (shard,) = tmp_path.glob(f"*{SUFFIX}")
    whole = shard.stat().st_size
    os.close(shards._own[1])  # as when its process dies
    with open(shard, "ab") as file:
        file.write(shard.read_bytes()[: whole // 2])
    reader, writer = Shards(tmp_path, 10**7), Shards(tmp_path, 10**7)
    writer.append(SPACES[0], b"notes", {key(1): row(SPACES[0], 1)})
    reader.refresh()
    assert [reader.read(SPACES[0], key(i)) for i in (0, 1)] == [row(SPACES[0], i) for i in (0, 1)]
    assert [file.name for file in tmp_path.glob(f"*{SUFFIX}")] == [shard.name]


@pytest.mark.parametrize("at", [0, 20, 40, 60, -ROW_BYTES, -1])
def test_a_damaged_row_is_missing_rather_than_wrong(at, tmp_path):
    shards = Shards(tmp_path, 10**7)
    shards.append(SPACES[0], b"notes", {key(i): row(SPACES[0], i) for i in range(2)})
    (shard,) = tmp_path.glob(f"*{SUFFIX}")
    content = bytearray(shard.read_bytes())
    content[at] ^= 1
    shard.write_bytes(content)
    found = [Shards(tmp_path, 10**7).read(SPACES[0], key(i)) for i in range(2)]
    assert all(found[i] in (None, row(SPACES[0], i)) for i in range(2)) and None in found


def test_a_block_beyond_the_limit_and_a_full_disk_are_survived(tmp_path, capsys, monkeypatch):
    shards = Shards(tmp_path, 1000)
    shards.append(SPACES[0], b"notes", {key(i): row(SPACES[0], i) for i in range(10)})
    assert size_of(tmp_path) == 0

    def full(*_):
        raise OSError(28, "No space left on device")

    shards = Shards(tmp_path, 10**7)
    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        shards.append(SPACES[0], b"notes", {key(0): row(SPACES[0], 0)})
    assert capsys.readouterr().err.count("nothing new can be stored") == 1
    assert shards.read(SPACES[0], key(0)) is None
