# Sourced by the scripts that train on all classes of a data set; what they share beside common.sh.

train_on_all() {  # SEED: sets trained, the folder of the prompts
    trained=$(folder all_classes/train "$trainer" "$cfg_folder" "$1")
    run "training $trainer on $dataset, $SHOTS shots" all "$1" "$trained" \
        --trainer "$trainer" --backbone "$student" TEST.NO_TEST True
}

test_on() {  # DATASET SEED: the prompts in trained, which come from $dataset
    local source=$dataset dataset=$1
    run "$trainer of $source on $dataset" all "$2" \
        "$(folder "all_classes/test_from_$source" "$trainer" "$cfg_folder" "$2")" \
        --eval-only --model-dir "$trained" --trainer "$trainer" --backbone "$student"
}

zeroshot_on() {  # DATASET: student and teachers
    local dataset=$1 clip teachers
    IFS=, read -r -a teachers <<< "$teacher"
    for clip in "$student" "${teachers[@]}"; do
        run_zeroshot "$clip" all "$(zeroshot_folder all_classes/zeroshot "$clip")"
    done
}

transfer() {  # SEED DATASET...: train on $dataset, test on it and on these; what comes twice is done once
    local seed=$1 target
    train_on_all "$seed"
    for target in "$dataset" "${@:2}"; do
        test_on "$target" "$seed"
        zeroshot_on "$target"
    done
}

show_tables() {
    "$PYTHON" -m tools.tables "$OUTPUT/all_classes" --format terminal
}
