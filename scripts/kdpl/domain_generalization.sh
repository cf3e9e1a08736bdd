#!/usr/bin/env bash
# Train on all classes of ImageNet (or shapes, for the demo), test on the same classes in other conditions, and print a
# table. For any other dataset, set TARGETS to the datasets to test on.
# When run again, it resumes where it stopped and skips finished runs. common.sh lists more settings.
set -euo pipefail
usage="domain_generalization.sh DATASET SEED [TRAINER] [CFG], such as imagenet 1 CoOp_KDPL, or shapes 1"
source "$(dirname "$0")/common.sh"
[[ -n ${TARGETS-} || ${1-} =~ ^(|-h|--help|imagenet|shapes)$ ]] ||
    fail "Only imagenet and shapes have shifted datasets; for $1, name the test sets: TARGETS=\"one another\"."
experiment domain_generalization "$@"
