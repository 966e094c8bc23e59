#!/usr/bin/env bash
# The audit log's second verifier, tools/audit_verify.py, on honest logs and on all attacks we know. Run by tests/run.sh;
# also by itself. Its Python, target/audit-tools/bin/python, is also what tests of the program run the verifier with.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$PWD/target/audit-tools
if ! cmp -s tools/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tools/requirements.txt
    # Last, so that half a folder is made anew.
    cp tools/requirements.txt "$venv/"
fi
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest discover tools
