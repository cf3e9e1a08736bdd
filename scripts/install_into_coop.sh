#!/usr/bin/env bash
# Install the KDPL trainers into a checkout of CoOp, MaPLe or PromptSRC.
# Usage: bash scripts/install_into_coop.sh PATH_TO_COOP [--apply] [--with-dassl] [--smoke-test]
#        bash scripts/install_into_coop.sh PATH_TO_COOP --remove
# Copies files and shows the two lines that train.py needs. --apply also adds these lines, --with-dassl copies a
# stand-in for Dassl if there is none, --smoke-test trains and evaluates one epoch, and --remove undoes everything.
# KDPL_PYTHON: the Python (3.10 or newer) that the checkout is used with; only the smoke test needs its packages.
set -euo pipefail
exec "${KDPL_PYTHON:-python3}" "$(dirname "$0")/install_into_coop.py" "$@"
