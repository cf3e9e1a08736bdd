"""KDPL: prompts of a CLIP learned from a larger CLIP. What the trainers beside this folder share."""
