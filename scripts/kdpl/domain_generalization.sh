#!/usr/bin/env bash
# Train on all classes of ImageNet (or, for the demo, of shapes), test on the same classes in other conditions; print a
# table. For another dataset TARGETS names the sets to test on.
# Started again, it resumes where it was; what is finished is not run again. common.sh lists more settings.
set -euo pipefail
usage="domain_generalization.sh DATASET SEED [TRAINER] [CFG], such as imagenet 1 CoOp_KDPL, or shapes 1"
source "$(dirname "$0")/common.sh"
[[ -n ${TARGETS-} || ${1-} =~ ^(|-h|--help|imagenet|shapes)$ ]] ||
    fail "There are shifted datasets of imagenet and shapes; for $1 name the test sets: TARGETS=\"one another\"."
experiment domain_generalization "$@"
