"""List the CLIPs that can be students and teachers, with the prompts they take and the licences of their weights."""

import argparse

EXAMPLE = "kdpl models mobileclip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", nargs="?", default="", help="list only names that contain this (case-insensitive)")


def run(args: argparse.Namespace) -> None:
    from ..clip.catalogue import models

    found = [model for model in models() if args.part.lower() in model.name.lower()]
    if not found:
        raise ValueError(f"No CLIP has {args.part!r} in its name. Run `kdpl models` to list all.")
    width = max(len(model.name) for model in found)
    print(f"{'name':{width}}  size  text  visual  licence of the weights")
    for model in found:
        text, visual = ("yes" if takes else "no" for takes in (model.text_prompts, model.visual_prompts))
        print(f"{model.name:{width}}  {model.size:4}  {text:4}  {visual:6}  {model.licence}")
    print("\nAll can be teachers. Text prompts: CoOp, CoCoOp, KgCoOp; visual prompts: VPT, MaPLe, PromptSRC.")
    print("Also: hf:ORG/NAME or a folder (transformers' CLIPModel), weights files, and prompts:FILE as a teacher.")
