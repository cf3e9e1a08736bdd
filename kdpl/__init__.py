"""KDPL: learn prompts for a CLIP from a larger CLIP, without labels (Mistretta et al., ECCV 2024).

>>> import kdpl
>>> classifier = kdpl.ZeroShotClassifier(kdpl.load_clip("demo:teacher"), ["red circle", "blue square"])
>>> classifier.text_features.shape
torch.Size([2, 64])

:func:`distill` learns prompts from images and :func:`load` turns them into a classifier. For experiments of your own,
use :class:`PromptedCLIP`, the prompt learners of :data:`METHODS` and :func:`symmetric_kl`.
"""

from . import guard  # isort: skip  first: handles Ctrl-C during the imports below
from .classifier import Classifier, Prediction, load
from .clip.loaded import LoadedCLIP
from .clip.loading import load_clip
from .clip.zero_shot import ZeroShotClassifier
from .distill import distill
from .distillation.losses import symmetric_kl
from .methods import METHODS, Method
from .prompts import (
    CoCoOpPromptLearner,
    CoOpPromptLearner,
    MaPLePromptLearner,
    PromptLearner,
    Prompts,
    PromptSRCPromptLearner,
    VPTPromptLearner,
)
from .prompts.prompted_clip import PromptedCLIP
from .versions import __version__

__all__ = [
    "METHODS",
    "Classifier",
    "CoCoOpPromptLearner",
    "CoOpPromptLearner",
    "LoadedCLIP",
    "MaPLePromptLearner",
    "Method",
    "Prediction",
    "PromptLearner",
    "PromptSRCPromptLearner",
    "PromptedCLIP",
    "Prompts",
    "VPTPromptLearner",
    "ZeroShotClassifier",
    "__version__",
    "distill",
    "guard",
    "load",
    "load_clip",
    "symmetric_kl",
]
