#!/usr/bin/env bash
# Many runs from one file, then all tables: [DATA=data OUTPUT=output] bash scripts/kdpl/sweep.sh SPEC [flags of
# tools.sweep], such as: bash scripts/kdpl/sweep.sh configs/sweeps/demo.yaml --jobs 2
set -euo pipefail
spec=$(realpath -- "${1:?a file such as configs/sweeps/demo.yaml}")
source "$(dirname "$0")/common.sh"
"$PYTHON" -m tools.sweep "$spec" --root "$DATA" --output "$OUTPUT" "${@:2}"
"$PYTHON" -m tools.tables "$OUTPUT"
