"""Whether every family of CLIPs computes here what it computes in its own library: the table of docs/models.md."""
