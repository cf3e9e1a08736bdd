"""Download everything runs need, for a machine without network access: CLIPs, tokenizers, vocabulary."""

import argparse
from pathlib import Path

EXAMPLE = "kdpl fetch ViT-B/32 open_clip:ViT-H-14-quickgelu/dfn5b vocabulary --to for_the_cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "names",
        nargs="+",
        help='CLIPs (see "kdpl models"), prompts:FILE for the student of learned prompts, vocabulary',
    )
    add(
        "--to", type=Path, metavar="FOLDER", help="copy all files to this folder, with an env.sh that makes KDPL use it"
    )


def run(args: argparse.Namespace) -> None:
    from ..fetching import fetch

    files = fetch(args.names, args.to)
    for file in files:
        print(f"{file}\t{file.stat().st_size / 2**20:.1f} MB")
    if not files:
        print("Nothing to download: these are local files.")
    elif args.to:
        print(f"Copy {args.to} to the other machine, and there run: source {args.to.name}/env.sh")
