#!/usr/bin/env bash
# Train and test on all classes with 1, 2, 4, 8 and 16 shots, beside zero-shot student and teacher; print a table.
#
#   [DATA=data] [SHOTS="1 4"] bash scripts/kdpl/few_shot.sh DATASET SEED [TRAINER] [CFG]
#
# such as: bash scripts/kdpl/few_shot.sh dtd 1 CoOp_KDPL. Started again, it goes on where it was. More settings stand in
# common.sh.
set -euo pipefail
shots=${SHOTS:-1 2 4 8 16}
source "$(dirname "$0")/common.sh"
source "$ROOT/scripts/kdpl/all_classes.sh"
seed=${2:?seed, such as 1}
choose_models "${1:?data set, such as dtd}" "${3:-CoOp_KDPL}" ${4+"$4"}

for SHOTS in $shots; do
    train_on_all "$seed"
    test_on "$dataset" "$seed"
done
zeroshot_on "$dataset"
show_tables
