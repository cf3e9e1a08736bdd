"""Whether this installation computes what was published, in four levels that need more and more.

Level 0 needs nothing but the package: golden numbers of the published implementation. Level 1 needs the weights of a
CLIP, and one picture for published logits. Levels 2 (zero-shot accuracies) and 3 (cells of the paper's tables) need
datasets; ``python -m tools.verify`` runs them. Every check is a :class:`Check`, and a :class:`Report` of them becomes
``verification.json``.
"""

from .checks import Check, Report

__all__ = ["Check", "Report"]
