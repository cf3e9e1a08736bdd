#!/usr/bin/env bash
# Train on all classes of one dataset, test on other datasets (by default CoOp's ten), and print a table.
# When run again, it resumes where it stopped and skips finished runs. common.sh lists more settings.
set -euo pipefail
usage="cross_dataset.sh DATASET SEED [TRAINER] [CFG], such as imagenet 1 CoOp_KDPL"
source "$(dirname "$0")/common.sh"
experiment cross_dataset "$@"
