#!/usr/bin/env bash
# Kill and feed everything at random for an hour, and print what came of it. Usage: bash scripts/soak.sh [SECONDS]
set -euo pipefail
source "$(dirname "$0")/env.sh"          # the repository's root and its Python
cd "$ROOT"
exec "$PYTHON" -m tools.soak --seconds "${1:-3600}"
