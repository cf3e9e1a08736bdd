"""Install the KDPL trainers into a checkout of CoOp, MaPLe or PromptSRC, or remove them; see install_into_coop.sh."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # not there in isolated mode (python -I)

from dropin import files, train_py  # noqa: E402
from dropin.smoke_test import SmokeTestFailed, smoke_test  # noqa: E402


def install(coop: Path, apply: bool, with_dassl: bool) -> None:
    """Copy our files, and show the lines that train.py needs or add them; after a refusal, nothing has been written."""
    before = files.installed_before(coop)
    copies_dassl = files.has_our_dassl(before)
    if with_dassl and not copies_dassl:
        other = files.other_dassl(coop, before)
        copies_dassl = other is None
        if other:
            print(f"Dassl was not copied: {sys.executable} finds the one in {other}.")
    ours = files.our_files(copies_dassl)
    if foreign := files.foreign_files(coop, ours, before):
        raise ValueError(
            f"{coop} has other or changed files where ours would go: {', '.join(foreign)}. Nothing was written. "
            "Move or rename them, and run this again."
        )
    train = coop / "train.py"
    source = train.read_bytes()
    edits = train_py.needed_edits(source, ours)
    if apply:
        edited = train_py.edited(source, edits)  # before anything is written, because this may fail

    kept = files.copy_files(coop, ours, before)
    print(f"{len(ours)} files are now in {coop}: {', '.join(_summary(ours))}")
    _print_kept(kept)
    if not edits:
        print("train.py already has the two lines.")
    elif apply:
        files.write(train, edited)
        print("Added to train.py:", *edits, sep="\n")
    else:
        print("train.py needs these lines; --apply adds them:", *edits, sep="\n")
    print("--remove undoes all of this.")


def remove(coop: Path) -> None:
    """Remove every file that is unchanged since it was installed, and our lines."""
    train = coop / "train.py"
    source = train.read_bytes()
    original = train_py.without_our_lines(source)
    if original != source:
        files.write(train, original)
    n_removed, kept = files.take_out_files(coop)
    lines = ", and the lines in its train.py" if original != source else ""
    print(f"Removed {n_removed} files from {coop}{lines}.")
    _print_kept(kept)


def _summary(names: dict[str, bytes]) -> list[str]:
    """Where the files are: kdpl/, trainers/kdpl/, trainers/*_kdpl.py, configs/trainers/*_KDPL/ and perhaps dassl/."""
    folders = [f"{package}/" for package in files.PACKAGES if any(name.startswith(f"{package}/") for name in names)]
    return [*folders, "trainers/*_kdpl.py", "configs/trainers/*_KDPL/"]


def _print_kept(kept: list[str]) -> None:
    if kept:
        print(f"Kept, because they were changed since they were installed: {', '.join(kept)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="install_into_coop.sh",
        description="Install the KDPL trainers into a checkout of CoOp, MaPLe or PromptSRC, or remove them.",
    )
    parser.add_argument("coop", type=Path, metavar="PATH_TO_COOP")
    parser.add_argument("--apply", action="store_true", help="also add the two lines to its train.py")
    parser.add_argument(
        "--with-dassl",
        action="store_true",
        help="copy a stand-in for Dassl if neither the checkout nor its Python has one",
    )
    parser.add_argument(
        "--smoke-test",
        action="store_true",
        help="train and evaluate one epoch there, offline, on the demo pair and drawn images (a minute on a CPU)",
    )
    parser.add_argument("--remove", action="store_true", help="remove everything that was added")
    arguments = parser.parse_args()
    if arguments.remove and (arguments.apply or arguments.with_dassl or arguments.smoke_test):
        parser.error("--remove cannot be combined with other options")
    return arguments


def main() -> None:
    arguments = parse()
    coop = arguments.coop
    try:
        files.check_is_checkout(coop)
        if arguments.remove:
            remove(coop)
        elif arguments.apply or arguments.with_dassl or not arguments.smoke_test:
            install(coop, arguments.apply, arguments.with_dassl)
        if arguments.smoke_test:
            print(smoke_test(coop))
    except (ValueError, OSError, SyntaxError, SmokeTestFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to finish.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
