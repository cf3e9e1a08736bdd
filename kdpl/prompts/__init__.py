"""The prompt learners, which own all learned tensors."""

from .class_tokens import ClassTokens
from .cocoop import CoCoOpPromptLearner
from .coop import CoOpPromptLearner
from .maple import MaPLePromptLearner
from .prompt_learner import PromptLearner, Prompts
from .promptsrc import PromptSRCPromptLearner
from .vpt import VPTPromptLearner

__all__ = [
    "ClassTokens",
    "CoCoOpPromptLearner",
    "CoOpPromptLearner",
    "MaPLePromptLearner",
    "PromptLearner",
    "PromptSRCPromptLearner",
    "Prompts",
    "VPTPromptLearner",
]
