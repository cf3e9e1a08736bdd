"""Classifying any number of images: inputs, loader processes, a journal for resuming, tables and pages."""
