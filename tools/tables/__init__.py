"""Results of finished runs as tables and a page of plots: `python -m tools.tables [FOLDER ...]`."""
