"""The command ``kdpl``, or ``python -m kdpl``: learn prompts from photos, classify with them, show prompt files."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from .commands import NAMES

USER_ERROR, INTERRUPTED = 2, 130  # exit codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for what its user can repair, told in one message on stderr."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues after the last finished epoch.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdpl", description="Prompts of a CLIP, learned from a larger CLIP.")
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
    sys.exit(main())
