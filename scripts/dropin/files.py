"""Our files in a checkout: listing them, finding what an earlier installation copied, copying and removing them."""

import hashlib
import json
import runpy
import shutil
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("kdpl/**/*", "trainers/kdpl/**/*.py", "trainers/*_kdpl.py", "configs/trainers/*_KDPL/*")
DASSL = "compat/dassl"  # becomes the checkout's dassl/
LANDMARKS = ("train.py", "trainers/coop.py", "clip/clip.py", "configs/trainers")  # this repository has no clip/
PACKAGES = ("kdpl", "trainers/kdpl", "dassl")  # folders with nothing but our files
INSTALLED = "trainers/kdpl/installed.json"  # SHA-256 of each copied file, by name

atomic_path = runpy.run_path(str(ROOT / "kdpl" / "atomic_files.py"))["atomic_path"]  # kdpl itself needs torch


def check_is_checkout(coop: Path) -> None:
    """Refuse a folder that is not a checkout, or whose packages are links to ours."""
    missing = [name for name in LANDMARKS if not (coop / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{coop} is not a CoOp checkout: it has no {', no '.join(missing)}. Looked for {', '.join(LANDMARKS)}. "
            "Pass the folder of `git clone https://github.com/KaiyangZhou/CoOp`, or of MaPLe or PromptSRC."
        )
    for name in PACKAGES:
        if (coop / name).resolve() in (ROOT / "kdpl", ROOT / "trainers" / "kdpl", ROOT / DASSL):
            raise ValueError(f"{coop}/{name} links to this repository, where --remove would delete files. Unlink it.")


def our_files(with_dassl: bool) -> dict[str, bytes]:
    """The contents of our files, by path in the checkout."""
    found = {file.relative_to(ROOT).as_posix(): file for pattern in PATTERNS for file in ROOT.glob(pattern)}
    if with_dassl:
        found |= {f"dassl/{file.relative_to(ROOT / DASSL).as_posix()}": file for file in ROOT.glob(f"{DASSL}/**/*")}
    return {name: file.read_bytes() for name, file in sorted(found.items()) if _belongs(file)}


def _belongs(file: Path) -> bool:
    """Whether a file is copied: no caches, and no configurations of the demo, whose dataset checkouts lack."""
    return file.is_file() and "__pycache__" not in file.parts and file.name != "demo.yaml"


def installed_before(coop: Path) -> dict[str, str]:
    """SHA-256 of each file that an earlier installation copied, by path, whatever its version."""
    record = coop / INSTALLED
    return json.loads(record.read_text()) if record.is_file() else {}


def has_our_dassl(before: dict[str, str]) -> bool:
    return any(name.startswith("dassl/") for name in before)


def dassl_in_use(coop: Path) -> Path | None:
    """The Dassl that the checkout's train.py imports: its own, or that of this Python."""
    if (coop / "dassl").exists():
        return coop / "dassl"
    spec = find_spec("dassl")
    return Path(spec.origin).parent if spec and spec.origin else None


def other_dassl(coop: Path, before: dict[str, str]) -> Path | None:
    """The Dassl in use, unless it is the one that we copy."""
    folder, files = dassl_in_use(coop), our_files(with_dassl=True)
    if folder == coop / "dassl":
        names = [file.relative_to(coop).as_posix() for file in folder.rglob("*.py")]
        return None if all(is_ours(coop, name, files, before) for name in names) else folder
    return folder


def foreign_files(coop: Path, files: dict[str, bytes], before: dict[str, str]) -> list[str]:
    """Files that we did not install where ours would go."""
    foreign = [name for name in files if (coop / name).exists() and not is_ours(coop, name, files, before)]
    for package in {name.partition("/")[0] for name in files} & set(PACKAGES):
        module = f"{package}.py"
        known = any(name.startswith(f"{package}/") for name in before)
        inside = [file.relative_to(coop).as_posix() for file in (coop / package).rglob("*.py")]
        foreign += [] if known else [name for name in inside if name not in files]
        foreign += [module] if (coop / module).exists() else []  # our package would hide it
    return foreign


def is_ours(coop: Path, name: str, files: dict[str, bytes], before: dict[str, str]) -> bool:
    """Whether a file in the checkout is unchanged since it was installed, or is what would be installed now."""
    content = (coop / name).read_bytes()
    return content == files.get(name) or sha256(content) == before.get(name)


def copy_files(coop: Path, files: dict[str, bytes], before: dict[str, str]) -> list[str]:
    """Copy ``files`` into the checkout, and remove those that only an earlier version had.

    The record is written last; until then every file is recognised by its old or new content.

    Returns:
        Files of an earlier version that are kept because they have been changed since.
    """
    for name, content in files.items():
        if not (coop / name).exists() or (coop / name).read_bytes() != content:
            write(coop / name, content)
    outdated = [name for name in before if name not in files and (coop / name).is_file()]
    ours = [name for name in outdated if is_ours(coop, name, files, before)]
    remove_files(coop, ours)
    record = json.dumps({name: sha256(content) for name, content in files.items()}, indent=1).encode() + b"\n"
    if not (coop / INSTALLED).exists() or (coop / INSTALLED).read_bytes() != record:
        write(coop / INSTALLED, record)
    return [name for name in outdated if name not in ours]


def take_out_files(coop: Path) -> tuple[int, list[str]]:
    """Remove what was installed; returns the number of files removed, and those kept because they have been changed."""
    files, record = our_files(with_dassl=True), installed_before(coop)
    present = [name for name in {**record, **files} if (coop / name).is_file()]
    ours = [name for name in present if is_ours(coop, name, files, record)]
    remove_files(coop, ours + [INSTALLED] * (coop / INSTALLED).is_file())
    return len(ours), [name for name in present if name not in ours and (name in record or "dassl/" not in name)]


def write(path: Path, content: bytes) -> None:
    path = path.resolve()  # write to the target of a link, not over the link
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(path, temporary)


def remove_files(coop: Path, names: list[str]) -> None:
    """Delete files, their compiled forms, and folders that this leaves empty."""
    for name in names:
        path = coop / name
        path.unlink()
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        parents = [coop / parent for parent in Path(name).parents[:-1]]
        for folder in [path.parent / "__pycache__", *parents]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
