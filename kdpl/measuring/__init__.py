"""Measurements of what this machine makes of a training step, shared by `kdpl doctor` and the benchmark."""
