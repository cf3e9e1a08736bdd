#!/usr/bin/env bash
# Linter and tests. Usage: bash scripts/test.sh [arguments of pytest, such as -k resume or tests/test_losses.py]
set -euo pipefail
source "$(dirname "$0")/env.sh"
cd "$ROOT"
"$PYTHON" -m ruff check .
exec "$PYTHON" -m pytest "$@"
