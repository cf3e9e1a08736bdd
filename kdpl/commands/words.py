"""Show the words nearest to learned vectors, and how far each class's text feature has moved."""

import argparse

from . import add_prompts, load_classifier

EXAMPLE = "kdpl words prompts.safetensors --top 3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_prompts(parser)
    add = parser.add_argument
    add("--top", type=int, default=5, help="words per vector (default: 5)")
    add("--template", default="", help='hand-written prompt to compare with, such as "a photo of a {}." '
        "(default: the one used in training)")  # fmt: skip
    add(
        "--class",
        dest="classname",
        metavar="NAME",
        help="show the vectors of this class, if contexts are class-specific (CSC)",
    )


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
        print("There are no learned context vectors: these prompts are in the image tower, which has no words.")
    for i, words in enumerate(vectors, start=1):
        shown = [word if word.strip() and word.isprintable() else ascii(word) for word, _ in words]
        print(f"  {i}  " + "  ".join(f"{word} {near.distance:.3f}" for word, near in zip(shown, words, strict=True)))
    if learner.learns_visual and vectors:
        print("Prompts of deeper blocks and of the image tower have no nearest words.")
    if not classifier.classnames:
        print("There are no class names to compare texts for; set them with --classnames.")
    elif learner.depends_on_image:
        print("These prompts depend on the image, so there are no fixed text features to compare.")
    else:
        print("Distance of each class's text feature from its hand-written prompt (cosine, angle), farthest first:")
        for name, cosine, degrees in text_movement(classifier, args.template):
            print(f"  {cosine:.4f}  {degrees:5.1f} degrees  {name}")
