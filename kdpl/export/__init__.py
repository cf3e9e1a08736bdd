"""Exporting classifiers: to ONNX, to PyTorch programs, or as text features for a plain CLIP."""

from .exporting import ExportReport, check_export, export_model, noise_pictures

__all__ = ["ExportReport", "check_export", "export_model", "noise_pictures"]
