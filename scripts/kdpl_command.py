#!/usr/bin/env python
"""The command kdpl of this clone, for its .venv, where bin/kdpl links to this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from kdpl.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
