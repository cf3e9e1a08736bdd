"""The machinery of sweeps, with runs of a tenth of a second: `python tests/quick_sweep.py drive OUTPUT N_RUNS`.

Driver, processes, claims and logs are the real ones; :func:`do` replaces train.py. Nothing imports torch, so that
processes start quickly.
"""

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = (sys.executable, str(Path(__file__)))
STEPS, SECONDS_OF_STEP = 4, 0.02


def runs_below(output: Path, n_runs: int) -> list:
    """Runs of two parts each."""
    from tools.sweep.runs import Part, Run

    def part(name: str, i: int) -> Part:
        return Part(str(output / name / f"seed{i}"), ("--run", str(i)))

    return [Run(f"train/seed{i}", (part("train", i), part("test", i))) for i in range(n_runs)]


def is_finished(run) -> bool:
    return all((Path(part.folder) / "results.json").is_file() for part in run.parts)


def do(run, n_processes: int = 0) -> int:
    """Do a run; if another process is doing the same run, leave a file OVERLAP."""
    owner = run.folder / "owner"
    if owner.exists() and _is_alive(int(owner.read_text())):
        (run.folder.parents[1] / "OVERLAP").touch()
    _write(owner, str(os.getpid()))
    code = count(run)
    owner.unlink()  # a process that has done its work may take a while to end
    return code


def count(run) -> int:
    """Count to STEPS in a file, starting from what it says; then write the record. Files in the folder make it fail."""
    fails = run.folder / "fails"
    if fails.exists() and (left := int(fails.read_text())):
        _write(fails, str(left - 1))
        print("epoch [1/4] all went well\nerror: this run was told to fail")
        return 1
    for part in run.parts:
        folder = Path(part.folder)
        if (folder / "results.json").is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        steps = folder / "steps"
        done = len(steps.read_text().split()) if steps.is_file() else 0
        for step in range(done, STEPS):
            print(f"epoch [{step + 1}/{STEPS}] batch [1/1] time 0.020", flush=True)
            time.sleep(SECONDS_OF_STEP)
            _write(steps, " ".join(map(str, range(step + 1))))
        _write(folder / "results.json", json.dumps({"steps": steps.read_text(), "arguments": part.arguments}))
    return 0


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    os.replace(new, path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    for package in ("compat", "kdpl"):  # without their own __init__.py, which would import torch
        sys.modules[package] = type(sys)(package)
        sys.modules[package].__path__ = [str(ROOT / package)]
    if sys.argv[1] == "drive":
        from tools.sweep.drive import drive
        from tools.sweep.local_engine import LocalEngine
        from tools.sweep.view import View

        runs = [run for run in runs_below(Path(sys.argv[2]), int(sys.argv[3])) if not is_finished(run)]
        failures = drive(runs, LocalEngine(2, 1, work=WORK), is_finished, retries=1, view=View(len(runs), 2))
        return 1 if failures else 0
    from tools.sweep import work

    work.do = do
    return work.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
