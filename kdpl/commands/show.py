"""Tell what a prompt file holds and what its prompts belong to."""

import argparse
from pathlib import Path

EXAMPLE = "kdpl show prompts.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", type=Path, help="prompt file, or a checkpoint")


def run(args: argparse.Namespace) -> None:
    import json

    from ..prompts.prompt_file import read_prompt_file

    tensors, description, _ = read_prompt_file(args.prompts)
    print(json.dumps(description, indent=1, ensure_ascii=False) if description else "It has no description.")
    for name, tensor in tensors.items():
        print(f"{name} {tuple(tensor.shape)}")
