"""Comparison of every family of CLIPs with its own library, and the table in docs/models.md."""
