"""Stress tests: killed commands, damaged files, full disks and bad input."""
