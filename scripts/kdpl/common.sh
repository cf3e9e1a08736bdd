# Sourced by the scripts of experiments: their settings, the names of folders, one way to call train.py.
#
# Settings from the environment; relative folders count from where the script was called:
#   DATA=data  OUTPUT=output      data sets and results, both in this repository
#   SHOTS=16  EPOCHS              images a class; epochs, if not those of the configuration
#   BACKBONE  TEACHER             student and teacher: ViT-B/32 and ViT-L/14, for shapes the demo pair
#   CLASS_AGNOSTIC=1              train without the names of the classes (KDPL-CA)

source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

from_here() {  # PATH: absolute
    [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"
}
DATA=$(from_here "${DATA:-$ROOT/data}")
OUTPUT=$(from_here "${OUTPUT:-$ROOT/output}")
SHOTS=${SHOTS:-16}
cd "$ROOT"

choose_models() {  # DATASET TRAINER [CFG]: sets these, student, teacher, pairs for train.py, and cfg_folder, which
    local chosen   #                        is cfg with whatever differs from it
    chosen=$("$PYTHON" -m tools.experiment "$@")
    dataset=$1 trainer=$2 pairs=()
    {
        read -r student && read -r teacher && read -r cfg && read -r cfg_folder
        while read -r; do pairs+=("$REPLY"); done
    } <<< "$chosen"
}

folder() {  # PART TRAINER CFG SEED: where results go; PART is such as base2new/train_base
    echo "$OUTPUT/$1/$dataset/shots_$SHOTS/$2/$3/seed$4"
}

zeroshot_folder() {  # PART CLIP: nothing is drawn, so one seed stands for all
    folder "$1" ZeroshotCLIP "${2//[^[:alnum:]._+]/-}" 1
}

run() {  # TITLE CLASSES SEED FOLDER, then flags and KEY VALUE pairs of train.py. What is finished is not run again.
    echo "== $1 ($4)" >&2
    "$PYTHON" train.py --skip-finished --root "$DATA" --seed "$3" --output-dir "$4" \
        --dataset-config-file "configs/datasets/$dataset.yaml" \
        --config-file "configs/trainers/$trainer/$cfg.yaml" "${@:5}" \
        DATASET.NUM_SHOTS "$SHOTS" DATASET.SUBSAMPLE_CLASSES "$2" ${pairs[@]+"${pairs[@]}"} |
        awk '/^(epoch|Resuming|Zero-shot|On validation|Warning)/ { print; fflush() }' >&2  # log.txt has all of it
}

run_zeroshot() {  # CLIP CLASSES FOLDER
    run "zero-shot $1 on $2 classes" "$2" 1 "$3" --eval-only --trainer ZeroshotCLIP --backbone "$1"
}
