#!/usr/bin/env bash
# Train on all classes of one data set, test on the same classes in other conditions, beside zero-shot student and
# teacher; print a table.
#
#   [DATA=data] [TARGETS="imagenet_a imagenet_r"] bash scripts/kdpl/domain_generalization.sh DATASET SEED [TRAINER] [CFG]
#
# such as: bash scripts/kdpl/domain_generalization.sh imagenet 1 CoOp_KDPL, or of shapes 1 for the demo. Started again,
# it goes on where it was. More settings stand in common.sh.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source "$ROOT/scripts/kdpl/all_classes.sh"
dataset=${1:?imagenet or shapes} seed=${2:?seed, such as 1}
case $dataset in
    imagenet) shifted="imagenetv2 imagenet_sketch imagenet_a imagenet_r" ;;
    shapes) shifted="shapes_night shapes_noise shapes_sketch" ;;
    *) shifted=${TARGETS:?there are shifted sets of imagenet and of shapes; for $dataset name the test sets} ;;
esac
read -r -a targets <<< "${TARGETS:-$shifted}"
TRANSFER=1 choose_models "$dataset" "${3:-CoOp_KDPL}" ${4+"$4"}
transfer "$seed" "${targets[@]}"
show_tables
