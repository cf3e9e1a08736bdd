#!/usr/bin/env bash
# Test student and teacher with hand-written prompts on all classes; print a table.
#
#   [DATA=data] bash scripts/kdpl/zeroshot.sh DATASET [SEED] [TRAINER] [CFG]
#
# such as: bash scripts/kdpl/zeroshot.sh dtd. Nothing is drawn or learned, so the seed changes nothing; TRAINER and CFG
# say which student and teacher are meant. More settings stand in common.sh.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source "$ROOT/scripts/kdpl/all_classes.sh"
choose_models "${1:?data set, such as dtd}" "${3:-CoOp_KDPL}" ${4+"$4"}
zeroshot_on "$dataset"
show_tables
