# Sourced by the experiment scripts, which set usage: checks their arguments and calls tools.sweep once.
#
# Environment variables; relative folders are relative to where the script was started:
#   DATA  OUTPUT                  folders for datasets and results (default: data and output in this repository)
#   SHOTS  EPOCHS                 images per class (default: 16; few_shot.sh takes several); epochs
#   BACKBONE  TEACHER             student and teacher (default: ViT-B/32 and ViT-L/14, or the demo pair for shapes)
#   CLASS_AGNOSTIC=1              train without the class names (KDPL-CA)
#   TARGETS                       datasets to test on (default: the published ones)

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." > /dev/null && pwd)
configs=$scripts/../configs

fail() {  # MESSAGE
    printf '%s\n' "usage: bash scripts/kdpl/$usage" "error: $1" >&2
    exit 2
}

check() {  # WHAT VALUE PATTERN EXAMPLE
    [[ $2 =~ ^($3)$ ]] || fail "$1 is '$2'; it takes $4."
}

check_file() {  # WHAT NAME FOLDER [ENDING]: the folder must contain a file or folder of that name
    local known=("$3"/*"${4-}")
    known=("${known[@]##*/}")
    [[ -n $2 && -e $3/$2${4-} ]] || fail "There is no $1 '$2'; choose from ${known[*]%"${4-}"}."
}

from_here() {  # PATH: absolute
    [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"
}

experiment() {  # PROTOCOL DATASET SEED [TRAINER] [CFG]
    [[ ${2-} != -h && ${2-} != --help ]] || { echo "usage: bash scripts/kdpl/$usage"; exit; }
    (($# >= 3 && $# <= 5)) || fail "Wrong number of arguments: $(($# - 1))."
    local protocol=$1 trainer=${4:-CoOp_KDPL} cfg=${5-} name number="(-1|0*[1-9][0-9]*)"
    for name in "$2" ${TARGETS-}; do check_file dataset "$name" "$configs/datasets" .yaml; done
    check "The seed" "$3" "[0-9]+" "a whole number, such as 1"
    check_file trainer "$trainer" "$configs/trainers"
    [[ -z $cfg ]] || check_file configuration "$cfg" "$configs/trainers/$trainer" .yaml
    [[ $protocol == few_shot ]] && number+="( $number)*"
    check SHOTS "${SHOTS:-16}" "$number" "a number of images per class, such as 16, or -1 for all of them"
    check EPOCHS "${EPOCHS:-1}" "0*[1-9][0-9]*" "a number of epochs, at least 1"
    check CLASS_AGNOSTIC "${CLASS_AGNOSTIC:-0}" "[01]|[Tt]rue|TRUE|[Ff]alse|FALSE" "1 or 0"
    local flags=(${BACKBONE:+--student "$BACKBONE"} ${TEACHER:+--teacher "$TEACHER"} ${SHOTS:+--shots $SHOTS}
        ${EPOCHS:+--epochs "$EPOCHS"} ${TARGETS:+--targets $TARGETS})
    [[ ${CLASS_AGNOSTIC:-0} =~ ^(0|[Ff].*)$ ]] || flags+=(--class-agnostic)
    sweep "$protocol" "$2" "$3" "$trainer" ${cfg:+"$cfg"} ${flags[@]+"${flags[@]}"}
}

sweep() {  # ARGUMENTS for tools.sweep
    source "$scripts/env.sh"
    DATA=$(from_here "${DATA:-$ROOT/data}")
    OUTPUT=$(from_here "${OUTPUT:-$ROOT/output}")
    cd "$ROOT"
    exec "$PYTHON" -m tools.sweep "$@" --root "$DATA" --output "$OUTPUT"
}
