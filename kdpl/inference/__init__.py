"""Classifying any number of images: items, loader processes, a journal, tables."""
