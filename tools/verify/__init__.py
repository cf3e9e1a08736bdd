"""Levels 2 and 3 of verification: published zero-shot accuracies and cells of the paper's tables."""
