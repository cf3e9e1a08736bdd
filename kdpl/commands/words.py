"""Show the vocabulary words nearest to learned vectors, and how far each class's text has moved."""

import argparse

from . import add_prompts, load_classifier

EXAMPLE = "kdpl words prompts.safetensors --top 3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("--top", type=int, default=5, help="words per vector (default: 5)")
    add("--template", default="", help='hand-written prompt to compare with, such as "a photo of a {}."; by default '
        "that of the training")  # fmt: skip
    add("--class", dest="classname", metavar="NAME", help="whose vectors, where each class has its own (CSC)")


def run(args: argparse.Namespace) -> None:
    from ..names import check_known
    from ..words import nearest_words, text_movement

    if args.top < 1:
        raise ValueError(f"--top is {args.top}; it must be at least 1.")
    classifier = load_classifier(args)
    learner = classifier.model.prompt_learner
    if args.classname is not None:
        check_known(args.classname, classifier.classnames, "class", "--class")
    index = classifier.classnames.index(args.classname) if args.classname else 0
    vectors = nearest_words(classifier, args.top, index)
    whose = f" of {classifier.classnames[index]!r}" if learner.class_specific else ""
    if vectors:
        print(f"Nearest words to each context vector{whose} (Euclidean distance between embeddings):")
    else:
        print("No context vectors are learned: these prompts are in the image tower, where there are no words.")
    for i, words in enumerate(vectors, start=1):
        print(f"  {i}  " + "  ".join(f"{word.word} {word.distance:.3f}" for word in words))
    if learner.learns_visual and vectors:
        print("Prompts of deeper blocks and of the image tower have no words.")
    if not classifier.classnames:
        print("Without class names there are no texts to compare; --classnames gives some.")
    elif learner.depends_on_image:
        print("Each image shifts these prompts, so that classes have no texts of their own to compare.")
    else:
        print("How far each class's text is from its hand-written prompt (cosine, angle), farthest first:")
        for name, cosine, degrees in text_movement(classifier, args.template):
            print(f"  {cosine:.4f}  {degrees:5.1f} degrees  {name}")
