#!/usr/bin/env bash
# Kill commands at random, feed them damaged files, and print the results. Usage: bash scripts/soak.sh [SECONDS]
set -euo pipefail
source "$(dirname "$0")/env.sh"          # the repository's root and its Python
cd "$ROOT"
exec "$PYTHON" -m tools.soak --seconds "${1:-3600}"
