#!/usr/bin/env bash
# Run a sweep from a file, then print all tables.
set -euo pipefail
usage="sweep.sh SPEC [flags for tools.sweep], such as configs/sweeps/demo.yaml --jobs 2"
source "$(dirname "$0")/common.sh"
[[ -f ${1-} ]] || fail "There is no sweep '${1-}'; configs/sweeps holds $(cd "$configs/sweeps" && echo *.yaml)."
sweep "$(from_here "$1")" --tables "${@:2}"
