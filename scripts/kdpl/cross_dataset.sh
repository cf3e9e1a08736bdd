#!/usr/bin/env bash
# Train on all classes of one data set, test on other data sets, beside zero-shot student and teacher; print a table.
#
#   [DATA=data] [TARGETS="caltech101 dtd"] bash scripts/kdpl/cross_dataset.sh DATASET SEED [TRAINER] [CFG]
#
# such as: bash scripts/kdpl/cross_dataset.sh imagenet 1 CoOp_KDPL, which is tested on CoOp's ten. Started again, it goes
# on where it was. More settings stand in common.sh.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source "$ROOT/scripts/kdpl/all_classes.sh"
seed=${2:?seed, such as 1}
TRANSFER=1 choose_models "${1:?data set to train on, such as imagenet}" "${3:-CoOp_KDPL}" ${4+"$4"}

case $dataset in
    shapes*) others="shapes shapes_night shapes_noise shapes_sketch" ;;
    *) others="caltech101 oxford_pets stanford_cars oxford_flowers food101 fgvc_aircraft sun397 dtd eurosat ucf101" ;;
esac
read -r -a targets <<< "${TARGETS:-$others}"
transfer "$seed" "${targets[@]}"
show_tables
