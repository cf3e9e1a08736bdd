"""Check this machine for everything that KDPL uses. Usage: python -m tools.doctor [--root DATA]"""

import argparse
import importlib
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

LINE = "{:<15} {:<7} {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per check; the exit code is 1 if something necessary is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="data", type=Path, help="folder with the datasets (default: data)")
    root = parser.parse_args(arguments).root
    works = [
        report("python", lambda: f"{platform.python_version()}, {sys.executable}"),
        report("torch", torch_and_device),
        report("torchvision", torchvision_and_guard),
        report("dassl", lambda: version_and_place("dassl")),
        report("clip", clip_and_place),
        report("demo weights", demo_weights),
        report("OpenAI weights", openai_weights),
        report("datasets", lambda: datasets_below(root)),
    ]
    # Needed only for open_clip's models.
    report("open_clip", lambda: version_and_place("open_clip", "open-clip-torch"), failure="absent")
    return 0 if all(works) else 1


def report(what: str, check: Callable[[], str], failure: str = "BROKEN") -> bool:
    """Print the line of one check; returns whether it passed."""
    try:
        result = "ok", check()
    except ImportError as error:
        result = failure, f"{error}; pip install -r requirements.txt, or run any script in scripts/: it repairs .venv"
    except Exception as error:  # whatever is wrong with the machine is reported, not raised
        result = failure, f"{type(error).__name__}: {error}"
    print(LINE.format(what, *result), flush=True)
    return result[0] == "ok"


def version_and_place(module: str, distribution: str | None = None) -> str:
    """The installed version of a module, and its folder, because another one may shadow it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(importlib.import_module(module).__file__).parent
    try:
        return f"{metadata.version(distribution or module)}, {folder}"
    except metadata.PackageNotFoundError:
        return str(folder)


def torch_and_device() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"{torch.__version__}, no CUDA device: a CPU is enough for the demo and the tests"
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return f"{torch.__version__}, " + ", ".join(f"{card.name} {card.total_memory / 2**30:.0f} GB" for card in cards)


def torchvision_and_guard() -> str:
    importlib.import_module("compat")  # imports torchvision under the guard, and finds a dassl
    import torch
    import torchvision

    guarded = not hasattr(torch.ops.torchvision, "nms")
    return torchvision.__version__ + ", guarded: its native operators are absent, but not needed" * guarded


def clip_and_place() -> str:
    from kdpl.import_guards import import_clip

    import_clip()
    return version_and_place("clip", "clip-anytorch")


def demo_weights() -> str:
    from kdpl.clip.loading import DEMO_WEIGHTS, load_clip

    return ", ".join(f"{name} {load_clip(name).weights_sha256[:8]}" for name in DEMO_WEIGHTS)


def openai_weights() -> str:
    from kdpl.clip.openai import OPENAI_WEIGHTS, openai_cache
    from kdpl.fingerprints import sha256_of

    found = []
    for name, (sha256, filename) in OPENAI_WEIGHTS.items():
        path = openai_cache() / filename
        if path.is_file():
            found.append(f"{name} {'verified' if sha256_of(path) == sha256 else 'WRONG HASH (will be fetched again)'}")
    return f"{', '.join(found) or 'none yet, fetched on first use'} (in {openai_cache()})"


def datasets_below(root: Path) -> str:
    importlib.import_module("datasets")  # registers them
    from dassl.data.datasets import DATASET_REGISTRY

    names, found = DATASET_REGISTRY.registered_names(), []
    for name in names:
        dataset = DATASET_REGISTRY.get(name)
        folder, split_file = getattr(dataset, "dataset_dir", None), getattr(dataset, "split_file", None)
        if folder and (root / folder).is_dir():
            missing = split_file and not (root / folder / split_file).is_file()
            found.append(f"{name} WITHOUT {split_file}" if missing else name)
    return f"{', '.join(found) or 'none'} (in {root.absolute()}), out of {', '.join(names)}"


if __name__ == "__main__":
    try:
        from kdpl.guard import run_command
    except ImportError:  # without torch, which main reports
        sys.exit(main())
    run_command(main)
