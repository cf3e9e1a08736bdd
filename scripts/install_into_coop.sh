#!/usr/bin/env bash
# Put the KDPL trainers into a CoOp checkout. Usage: bash scripts/install_into_coop.sh PATH_TO_COOP [--apply|--remove]
# Copies files and shows the two lines that train.py needs; --apply adds these as well, --remove takes all of it out.
# Needs no package; KDPL_PYTHON=/path/to/python names another Python (3.10 or newer) than python3.
set -euo pipefail
exec "${KDPL_PYTHON:-python3}" "$(dirname "$0")/install_into_coop.py" "$@"
