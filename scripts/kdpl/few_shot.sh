#!/usr/bin/env bash
# Train and test on all classes with 1, 2, 4, 8 and 16 shots, or those in SHOTS, and print a table.
# When run again, it resumes where it stopped and skips finished runs. common.sh lists more settings.
set -euo pipefail
usage="few_shot.sh DATASET SEED [TRAINER] [CFG], such as dtd 1 CoOp_KDPL"
source "$(dirname "$0")/common.sh"
experiment few_shot "$@"
