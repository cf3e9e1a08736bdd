"""CLIPs: loading them by name, and running their towers with prompts."""
