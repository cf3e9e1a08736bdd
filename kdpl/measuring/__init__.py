"""Measuring training steps on this machine, shared by `kdpl doctor` and the benchmark."""
