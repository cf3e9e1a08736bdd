"""Features of frozen towers, computed once and kept: on disk for all processes, or in the memory of one."""
