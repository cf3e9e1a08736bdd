"""Settings that do not fit together, refused before anything is read or fetched."""

from collections.abc import Sequence

from yacs.config import CfgNode

from kdpl.clip.openai import RESOLUTIONS
from kdpl.methods import Method


def check_image_size(name: str, size: Sequence[int], resolution: int | None = None) -> None:
    """Refuse images of another size than the student takes; known names are checked before anything is loaded.

    Args:
        size: INPUT.SIZE, (height, width) in pixels.
        resolution: of the loaded student, in pixels.

    Raises:
        ValueError: if they differ.
    """
    resolution = resolution or RESOLUTIONS.get(name)
    if resolution and tuple(size) != (resolution, resolution):
        raise ValueError(
            f"INPUT.SIZE is {tuple(size)}, and {name} takes images of {resolution} x {resolution} pixels. "
            f'Set INPUT.SIZE "({resolution},{resolution})", or choose another MODEL.BACKBONE.NAME.'
        )


def check_class_agnostic(cfg: CfgNode, method: Method) -> None:
    """Refuse settings of KDPL-CA that cannot work.

    Raises:
        ValueError: if no class would be kept, or contexts are class-specific: they belong to the vocabulary's names,
            and the dataset's class names, which the evaluation uses, have none.
    """
    kdpl, node = cfg.TRAINER.KDPL, cfg.TRAINER[method.node]
    if kdpl.K_MAX < 1:
        raise ValueError(f"TRAINER.KDPL.K_MAX is {kdpl.K_MAX}; at least one class must be kept (published: 1000).")
    if kdpl.CLASS_AGNOSTIC and node.get("CSC", False) and not node.CTX_INIT:
        raise ValueError(
            f"TRAINER.{method.node}.CSC is True and TRAINER.KDPL.CLASS_AGNOSTIC too: contexts of the vocabulary's "
            "names cannot name the dataset's classes. Set one of the two to False."
        )
