# Sourced by every script: sets ROOT, this repository, and PYTHON, an interpreter with everything in requirements.txt
# and, if test_tools=yes as in test.sh, in requirements-dev.txt.
#
# The first use creates ROOT/.venv. Later ones check within milliseconds that it is complete, or repair it if an
# installation was interrupted, its interpreter is gone, or the requirements have changed. To use an environment of your
# own, set KDPL_PYTHON=/path/to/python: it is checked, and nothing is installed into it.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." > /dev/null && pwd)
env_files=requirements.txt  # separated by commas; the first word of a stamp
[[ ${test_tools-} != yes ]] || env_files+=,requirements-dev.txt

env_fail() {  # MESSAGE...: one line each
    printf 'error: %s\n' "$@" >&2
    exit 1
}

env_use_own_python() {
    [[ $KDPL_PYTHON != */* || $KDPL_PYTHON == /* ]] || KDPL_PYTHON=$PWD/$KDPL_PYTHON
    PYTHON=$(command -v "$KDPL_PYTHON") ||
        env_fail "KDPL_PYTHON is $KDPL_PYTHON, which is not a program. Set it to a Python, or unset it to use $ROOT/.venv."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null ||
        env_fail "KDPL_PYTHON is $KDPL_PYTHON, which is not Python 3.10 or newer: $("$PYTHON" --version 2>&1 | head -n 1)"
    env_is_known "$ROOT/.kdpl-python" "$PYTHON " && return
    local found
    found=$("$PYTHON" "$ROOT/scripts/environment.py" check-to-run $env_files) ||
        env_fail "KDPL_PYTHON is $KDPL_PYTHON, which cannot import:"$'\n'"$found"$'\n'"Install these into it \
(\"$KDPL_PYTHON\" -m pip install -r \"$ROOT/${env_files//,/\" -r \"$ROOT/}\"), or unset KDPL_PYTHON to use $ROOT/.venv."
    env_remember "$ROOT/.kdpl-python" "$PYTHON " "$found" $env_files
}

env_use_venv() {
    PYTHON=$ROOT/.venv/bin/python
    env_is_known "$ROOT/.venv/kdpl-stamp" && return
    [[ -w $ROOT ]] || env_fail "$ROOT/.venv is incomplete, and $ROOT is not writable. Set KDPL_PYTHON."
    local base
    base=$(env_find_python) || exit 1
    exec 9> "$ROOT/.venv.lock"
    if ! env_lock "$base" "LOCK_EX | LOCK_NB" 2> /dev/null; then
        echo "Another script is creating $ROOT/.venv: waiting for it ..." >&2
        env_lock "$base" LOCK_EX
    fi
    env_is_known "$ROOT/.venv/kdpl-stamp" || env_install "$base"
    exec 9>&-
}

env_lock() {  # PYTHON FLAGS
    # The lock belongs to file descriptor 9: it outlives this Python, and ends with the last process that has it open.
    # No packages are installed yet, so this uses the standard library to take the same kind of lock as filelock.
    "$1" -c "from fcntl import *; flock(9, $2)"
}

env_find_python() {
    local name found=""
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        command -v "$name" > /dev/null || continue
        if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
            command -v "$name"
            return
        fi
        found+=" $name is $("$name" --version 2>&1 | head -n 1)."
    done
    env_fail "No Python 3.10 to 3.13 found.${found:- There is no python3 at all.} Install one (Debian, Ubuntu: apt \
install python3 python3-venv), or use an environment of your own: KDPL_PYTHON=/path/to/python."
}

env_install() {  # PYTHON: create or repair .venv
    local base=$1 venv=$ROOT/.venv found fresh=no
    if [[ $(head -n 1 "$venv/kdpl-stamp" 2> /dev/null) == installing ]] || ! "$PYTHON" -m pip --version &> /dev/null; then
        fresh=yes
    fi
    while :; do
        [[ $fresh == no ]] || env_make_empty_venv "$base" "$venv"
        env_pip_install "$venv"
        found=$("$PYTHON" "$ROOT/scripts/environment.py" check $env_files) && break
        [[ $fresh == no ]] || env_fail "What pip installed into $venv cannot be imported:"$'\n'"$found"
        echo "$venv is damaged and will be created again; it could not import:"$'\n'"$found" >&2
        fresh=yes
    done
    ln -sf ../../scripts/kdpl_command.py "$venv/bin/kdpl"
    env_remember "$venv/kdpl-stamp" "" "$found" $env_files
}

env_make_empty_venv() {  # PYTHON VENV
    echo "Creating $2 with $("$1" --version), once: this takes a few minutes, as torch is large ..." >&2
    "$1" -c 'import ensurepip, venv' 2> /dev/null ||
        env_fail "$1 cannot create environments: it lacks venv or ensurepip. On Debian and Ubuntu they are in a separate \
package: apt install python3-venv"
    "$1" -m venv --clear "$2" >&2 || env_fail "$2 could not be created (see above; $(env_free_space))."
}

env_pip_install() {  # VENV
    local log=$1/kdpl-pip.log stamp=$1/kdpl-stamp before="" file options=()
    for file in ${env_files//,/ }; do
        options+=(-r "$ROOT/$file")
    done
    [[ ! -f $stamp ]] || before=$(< "$stamp")
    echo installing > "$stamp"
    rm -f "$log"
    "$PYTHON" -m pip --disable-pip-version-check install --log "$log" "${options[@]}" >&2 && return
    # If pip has changed nothing, a complete environment is still complete.
    [[ -z $before ]] || printf '%s\n' "$before" 2> /dev/null > "$stamp" || true
    if grep -q 'No space left on device' "$log"; then
        env_fail "The disk is full: $(env_free_space), and about 6 GB are needed. Free some space, or set TMPDIR to a \
larger disk; then start again."
    elif grep -qE 'Connection ?(Error|broken)|Timeout|ProxyError|name resolution|from versions: none' "$log"; then
        env_fail "pip could not fetch packages: there is no network, or this machine reaches no package index. Check \
the connection (pip takes a proxy or mirror from PIP_PROXY, PIP_INDEX_URL or pip.conf) and start again, or use an \
environment that has the packages: KDPL_PYTHON=/path/to/python."
    fi
    env_fail "pip failed (see above; everything is in $log). $(env_free_space). The next attempt starts from scratch."
}

env_free_space() {
    df -Pk "$ROOT" "${TMPDIR:-/tmp}" | awk 'NR > 1 { printf "%s%.1f GB are free on %s", s, $4 / 2^20, $6; s = ", " }'
}

# A stamp has three lines: what is installed and for which requirements, the machine on which that was checked, and the
# output of the check. The stamp of an environment with test tools also serves scripts that do not need them.

env_is_known() {  # STAMP [PREFIX]: whether nothing is missing or has changed; prints torch and device
    local known machine found files
    [[ -f $1 ]] && { read -r known && read -r machine && read -r found; } < "$1" || return 1
    known=${known#"${2-}"}
    files=${known%% *}
    [[ $files == "$env_files"* ]] || return 1
    [[ $known == "$("$PYTHON" "$ROOT/scripts/environment.py" key "$files" 2> /dev/null)" ]] || return 1
    if [[ $machine != "$(env_machine)" ]]; then
        found=$("$PYTHON" "$ROOT/scripts/environment.py" check-to-run "$files") || return 1
        env_remember "$1" "${2-}" "$found" "$files"
        return
    fi
    echo "$PYTHON: $found" >&2
}

env_remember() {  # STAMP PREFIX FOUND FILES
    local key
    key=$("$PYTHON" "$ROOT/scripts/environment.py" key "$4")
    if { printf '%s\n' "$2$key" "$(env_machine)" "$3" > "$1.$$" && mv "$1.$$" "$1"; } 2> /dev/null; then :; fi
    echo "$PYTHON: $3" >&2
}

env_machine() {
    echo "$(uname -n) CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-} $(echo /dev/nvidia[0-9]*)"
}

if [[ -n ${KDPL_PYTHON-} ]]; then
    env_use_own_python
else
    env_use_venv
fi
export PYTHON
