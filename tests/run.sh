#!/usr/bin/env bash
# Everything that has to pass before a merge: formats, lints, dependencies, the tests on both engines, the browser
# suite. One line per step with its time; the first failing step ends the run and shows its output.
#
# Needs Rust. Installs what else is missing where it can (Debian; root, or sudo without a password): PostgreSQL,
# Chromium, cargo-deny. Starts what it needs on free loopback ports, in a folder of its own, and stops it at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2
work=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-tests.XXXXXX")
chmod 711 "$work"
postgres_pid=
began=$SECONDS

step=

finish() {
    local status=$?
    if [[ -n $step ]]; then
        exec 1>&3 2>&4
        tail -n 200 "$work/log"
        echo "FAIL  $step"
    fi
    if [[ -n $postgres_pid ]]; then
        # INT is PostgreSQL's fast shutdown.
        kill -INT "$postgres_pid" 2>/dev/null || true
        wait "$postgres_pid" 2>/dev/null || true
    fi
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

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# install PACKAGE…: from Debian.
install() {
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "$@"
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

# The folder of PostgreSQL's programs; Debian keeps them out of PATH.
postgres_programs() {
    local newest
    newest=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1 || true)
    [[ -n $newest ]] || newest=$(command -v initdb || true)
    [[ -n $newest ]] && dirname "$(readlink -f "$newest")"
}

# initdb refuses root: then the package's own user runs it. Keeps the process id of what it runs.
as_postgres() {
    if [[ $EUID -eq 0 ]]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        exec "$@"
    fi
}

postgres() {
    if [[ -n ${TEST_POSTGRES_URL:-} ]]; then
        note="the one TEST_POSTGRES_URL names"
        return
    fi
    local programs data=$work/postgres locale=() port try connections
    # As many tests at once as there are cores. One may have a gateway and a second process, each with a pool of 16,
    # while those of the test before are still going.
    connections=$((100 + $(nproc) * 64))
    programs=$(postgres_programs) || { install postgresql; programs=$(postgres_programs); }
    mkdir "$data"
    [[ $EUID -eq 0 ]] && chown postgres "$data"
    # A collation unlike bytes, where there is one: sorting must not depend on the server's.
    if "$programs/initdb" --help | grep -q icu-locale; then
        locale=(--locale-provider=icu --icu-locale=en-US)
    fi
    (cd "$data" && as_postgres "$programs/initdb" -D "$data/db" -U gatehouse --auth=trust -E UTF8 --locale=C.UTF-8 \
        "${locale[@]}" --no-sync)
    for try in 1 2 3 4 5; do
        port=$((15000 + RANDOM % 15000))
        (cd "$data" && as_postgres "$programs/postgres" -D "$data/db" -p "$port" -k "$data" \
            -c listen_addresses=127.0.0.1 -c max_connections="$connections" -c fsync=off \
            -c synchronous_commit=off -c full_page_writes=off) >"$work/postgres.log" 2>&1 &
        postgres_pid=$!
        for _ in $(seq 100); do
            if "$programs/pg_isready" -q -h 127.0.0.1 -p "$port" && kill -0 "$postgres_pid" 2>/dev/null; then
                export TEST_POSTGRES_URL="postgres://gatehouse@127.0.0.1:$port/postgres"
                note=$("$programs/postgres" --version)
                return
            fi
            # The port may be somebody else's; then it has ended already.
            kill -0 "$postgres_pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -INT "$postgres_pid" 2>/dev/null || true
        wait "$postgres_pid" 2>/dev/null || true
        postgres_pid=
        echo "try $try on port $port failed:"
        cat "$work/postgres.log"
    done
    return 1
}

tests() {
    export GATEHOUSE_TEST_POSTGRES=required
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

step formats formats
step lints lints
step dependencies dependencies
step postgres postgres
step tests tests
step browser browser
