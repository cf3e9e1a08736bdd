#!/usr/bin/env bash
# Run the linter and the tests. Usage: bash scripts/test.sh [pytest arguments, such as -k resume]
set -euo pipefail
test_tools=yes source "$(dirname "$0")/env.sh"
cd "$ROOT"
"$PYTHON" -m ruff check .
# One process per core, each test file in a single process; torch must not use the other cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m pytest --numprocesses auto --dist loadfile "$@"
