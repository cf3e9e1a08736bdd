"""A cache for features of frozen towers: on disk, shared by all processes, or in memory."""
