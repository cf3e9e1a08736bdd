"""Check every family of CLIPs against its own library; writes the table of docs/models.md."""
