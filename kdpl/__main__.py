"""The command ``kdpl``, or ``python -m kdpl``: learn prompts from photos, classify with them, inspect prompt files."""

import argparse
from collections.abc import Sequence
from importlib import import_module

from .commands import NAMES
from .guard import guarded, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit codes and messages are those of :mod:`kdpl.guard`."""
    args = _parser().parse_args(arguments)
    return guarded(lambda: args.run(args), "Run the same command again to resume.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdpl", description="Learn prompts for a CLIP from a larger CLIP.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in NAMES:
        module = import_module(f".commands.{name}", __package__)
        command = commands.add_parser(
            name,
            help=module.__doc__.splitlines()[0],
            description=module.__doc__,
            epilog=f"example: {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    run_command(main)
