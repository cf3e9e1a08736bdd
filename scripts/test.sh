#!/usr/bin/env bash
# Linter and tests. Usage: bash scripts/test.sh [arguments of pytest, such as -k resume or tests/test_losses.py]
set -euo pipefail
test_tools=yes source "$(dirname "$0")/env.sh"
cd "$ROOT"
"$PYTHON" -m ruff check .
# One process per core, each file in one of them; torch may not take the other cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m pytest --numprocesses auto --dist loadfile "$@"
