"""Show the tensors and the description of a prompt file."""

import argparse

EXAMPLE = "kdpl show prompts.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", help="prompt file, checkpoint, or a repository on the Hugging Face Hub")


def run(args: argparse.Namespace) -> None:
    import json

    from ..hub import fetch_prompts, is_repository
    from ..prompts.prompt_file import read_prompt_file

    file = fetch_prompts(args.prompts) if is_repository(args.prompts) else args.prompts
    tensors, description, _ = read_prompt_file(file)
    print(json.dumps(description, indent=1, ensure_ascii=False) if description else "This file has no description.")
    for name, tensor in tensors.items():
        print(f"{name} {tuple(tensor.shape)}")
