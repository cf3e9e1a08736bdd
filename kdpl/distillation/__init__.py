"""Distillation: teacher, losses, objective, frozen features, the training loop and its resume state."""
