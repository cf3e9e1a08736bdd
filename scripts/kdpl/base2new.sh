#!/usr/bin/env bash
# Train on the base classes, test on base and on new ones, beside the zero-shot student and teacher; print a table.
#
#   [DATA=data] bash scripts/kdpl/base2new.sh DATASET SEED [TRAINER] [CFG]
#
# such as: bash scripts/kdpl/base2new.sh caltech101 1 CoOp_KDPL vit_b32_ctxv1. Started again, it goes on where it was;
# what is finished is not run again. More settings stand in common.sh.
set -euo pipefail
source "$(dirname "$0")/common.sh"
seed=${2:?seed, such as 1}
choose_models "${1:?data set, such as caltech101}" "${3:-CoOp_KDPL}" ${4+"$4"}

rows=()
IFS=, read -r -a teachers <<< "$teacher"
for clip in "$student" "${teachers[@]}"; do
    for classes in base new; do
        run_zeroshot "$clip" "$classes" "$(zeroshot_folder base2new/test_$classes "$clip")"
    done
    rows+=(--row "zero-shot $clip" "$(zeroshot_folder base2new/test_base "$clip")" \
        "$(zeroshot_folder base2new/test_new "$clip")")
done

trained=$(folder base2new/train_base "$trainer" "$cfg_folder" "$seed")
run "training $trainer on base classes" base "$seed" "$trained" --trainer "$trainer" --backbone "$student" \
    TEST.NO_TEST True
for classes in base new; do
    run "$trainer on $classes classes" "$classes" "$seed" \
        "$(folder base2new/test_$classes "$trainer" "$cfg_folder" "$seed")" \
        --eval-only --model-dir "$trained" --trainer "$trainer" --backbone "$student"
done
rows+=(--row "$trainer ($cfg_folder, seed $seed)" \
    "$(folder base2new/test_base "$trainer" "$cfg_folder" "$seed")" \
    "$(folder base2new/test_new "$trainer" "$cfg_folder" "$seed")")

"$PYTHON" -m tools.base2new_table "${rows[@]}"
