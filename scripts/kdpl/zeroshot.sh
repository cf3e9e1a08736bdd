#!/usr/bin/env bash
# Test student and teacher with hand-written prompts on all classes, and print a table. The seed has no effect, and
# TRAINER and CFG only determine the student and teacher. common.sh lists more settings.
set -euo pipefail
usage="zeroshot.sh DATASET [SEED] [TRAINER] [CFG], such as dtd"
source "$(dirname "$0")/common.sh"
experiment zeroshot ${1+"$1" "${2:-1}" "${@:3}"}
