#!/usr/bin/env bash
# Test student and teacher with hand-written prompts on all classes; print a table. The seed changes nothing, and
# TRAINER and CFG only say which student and teacher are meant. common.sh lists more settings.
set -euo pipefail
usage="zeroshot.sh DATASET [SEED] [TRAINER] [CFG], such as dtd"
source "$(dirname "$0")/common.sh"
experiment zeroshot ${1+"$1" "${2:-1}" "${@:3}"}
