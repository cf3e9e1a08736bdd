"""Benchmark of training steps and everything around them against a plain implementation."""
