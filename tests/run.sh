#!/usr/bin/env bash
# Everything that has to pass before a merge: formats, lints, dependencies, the tests on both engines, the browser
# suite. One line per step with its time; the first failing step ends the run and shows its output.
#
# Needs Rust. Installs what else is missing where it can (Debian; root, or sudo without a password): PostgreSQL,
# Chromium, Python, cargo-deny, schemathesis. Starts what it needs on free loopback ports, in a folder of its own, and stops it at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/postgres.sh
source tests/postgres.sh

CARGO_DENY=0.20.2
work=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-tests.XXXXXX")
chmod 711 "$work"
began=$SECONDS

step=

finish() {
    local status=$?
    if [[ -n $step ]]; then
        exec 1>&3 2>&4
        tail -n 200 "$work/log"
        echo "FAIL  $step"
    fi
    stop_postgres
    rm -rf "$work"
    if [[ $status -eq 0 ]]; then
        printf 'ok    %-12s %4d s\n' everything $((SECONDS - began))
    else
        echo "FAIL  after $((SECONDS - began)) s"
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# step NAME FUNCTION: the function runs in this shell, so that it can set variables, and an error in it ends the run.
# What it leaves in $note is shown beside the name.
step() {
    local start=$SECONDS
    step=$1 note=
    exec 3>&1 4>&2 >"$work/log" 2>&1
    "$2"
    exec 1>&3 2>&4 3>&- 4>&-
    printf 'ok    %-12s %4d s  %s\n' "$step" $((SECONDS - start)) "$note"
    step=
}

formats() {
    cargo fmt --all --check
}

lints() {
    # With and without the PostgreSQL half: plain `cargo test` has to stay free of warnings too.
    cargo clippy --all-targets -- -D warnings
    cargo clippy --all-targets --features postgres-tests -- -D warnings
}

dependencies() {
    cargo deny --version || cargo install --locked cargo-deny --version "$CARGO_DENY"
    if cargo deny fetch db; then
        cargo deny check
    else
        note="without advisories: their list cannot be fetched"
        cargo deny check bans licenses sources
    fi
}

tests() {
    export GATEHOUSE_TEST_POSTGRES=required GATEHOUSE_TEST_PYTHON=required
    if cargo nextest --version; then
        cargo nextest run --features postgres-tests --no-fail-fast --status-level fail
        note=$(grep -o '[0-9]* tests run: .*' "$work/log" | tail -n 1)
    else
        cargo test --features postgres-tests --no-fail-fast
        note=$(grep -o '[0-9]* passed' "$work/log" | awk '{ n += $1 } END { print n " passed" }')
    fi
}

browser() {
    if [[ ! -f tests/browser/run.mjs ]]; then
        note="no suite"
        return
    fi
    command -v chromium || install chromium
    command -v node && command -v npm || install nodejs npm
    export CHROMIUM=${CHROMIUM:-$(command -v chromium)}
    cargo build
    if [[ -f tests/browser/package-lock.json ]]; then
        npm --prefix tests/browser ci
    elif [[ -f tests/browser/package.json ]]; then
        npm --prefix tests/browser install
    fi
    node tests/browser/run.mjs
    note=$(tail -n 1 "$work/log")
}

python() {
    # Debian has the half of venv that makes one in a package of its own.
    python3 -c 'import venv, ensurepip' || install python3 python3-venv
}

audit_tools() {
    python
    tests/audit_tools.sh
    note=$(grep -o 'Ran [0-9]* tests' "$work/log" | tail -n 1)
}

fuzz() {
    python
    cargo build
    tests/fuzz.sh
    note=$(tail -n 1 "$work/log")
}

step formats formats
step lints lints
step dependencies dependencies
step postgres start_postgres
step "audit tools" audit_tools
step tests tests
step browser browser
step fuzz fuzz
