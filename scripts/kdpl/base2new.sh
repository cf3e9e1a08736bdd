#!/usr/bin/env bash
# Train on the base classes, test on base and new classes (as well as zero-shot student and teacher), and print a table.
# When run again, it resumes where it stopped and skips finished runs. common.sh lists more settings.
set -euo pipefail
usage="base2new.sh DATASET SEED [TRAINER] [CFG], such as caltech101 1 CoOp_KDPL vit_b32_ctxv1"
source "$(dirname "$0")/common.sh"
experiment base2new "$@"
