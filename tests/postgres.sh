# Starting a PostgreSQL for tests; sourced by tests/run.sh and benches/soak.sh. Uses the one TEST_POSTGRES_URL names, or
# starts one on a free loopback port with its data in "$work", and exports TEST_POSTGRES_URL. Installs it on Debian if
# it is missing. Whoever sources this makes $work, readable for other users, and calls stop_postgres at the end.
# shellcheck shell=bash

postgres_pid=

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# install PACKAGE…: from Debian.
install() {
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "$@"
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

# What it leaves in $note says which PostgreSQL it is.
start_postgres() {
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
        stop_postgres
        echo "try $try on port $port failed:"
        cat "$work/postgres.log"
    done
    return 1
}

# Ends the one start_postgres has started, if it has.
stop_postgres() {
    if [[ -n $postgres_pid ]]; then
        # INT is PostgreSQL's fast shutdown.
        kill -INT "$postgres_pid" 2>/dev/null || true
        wait "$postgres_pid" 2>/dev/null || true
        postgres_pid=
    fi
}
