"""Verification that this installation gives the published results, in four levels that need more and more files.

Level 0 needs only the package, which contains golden numbers from the published implementation. Level 1 needs the
weights of a CLIP, and two pictures for published outputs. Levels 2 (zero-shot accuracies) and 3 (cells of the paper's
tables) need datasets; ``python -m tools.verify`` runs them. Each check is a :class:`Check`; a :class:`Report` of all
checks is saved as ``verification.json``.
"""

from .checks import Check, Report

__all__ = ["Check", "Report"]
