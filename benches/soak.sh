#!/usr/bin/env bash
# The long runs: what tests/run.sh tries a sample of, at full count. Each is bounded in time; at the end there is one
# table, and the exit code says whether all of it held. Runs of one name: benches/soak.sh kill load
#
# Needs what tests/run.sh needs, and some hours alone on the machine. Starts a PostgreSQL of its own unless
# TEST_POSTGRES_URL names one, and stops it. Counts and times come from the environment:
#
#   GATEHOUSE_KILLS            kill -9 per engine                                     1000
#   GATEHOUSE_SEED             which random moments; printed with the figures         the time
#   GATEHOUSE_TEST_LEASE       lease of the two replicas in seconds                   default (the program's own)
#   GATEHOUSE_OUTAGE_SECONDS   length of each outage                                  300
#   GATEHOUSE_LOAD_SECONDS     length of each load                                    30
#   GATEHOUSE_SIZE             posts of the large workspace                           500000
#   GATEHOUSE_CASES            sequences of changes the mirror follows                200
#   GATEHOUSE_SCHEDULES        schedules of bulk jobs per engine                      150
#   GATEHOUSE_KEYS             generated gateway keys                                 1000000
#   GATEHOUSE_AUDIT_ENTRIES    entries of the audit log that is exported and verified  1000000
#   GATEHOUSE_BIN              the program under test                                 a release build
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/postgres.sh
source tests/postgres.sh

export GATEHOUSE_KILLS=${GATEHOUSE_KILLS:-1000}
export GATEHOUSE_TEST_LEASE=${GATEHOUSE_TEST_LEASE:-default}
export GATEHOUSE_OUTAGE_SECONDS=${GATEHOUSE_OUTAGE_SECONDS:-300}
export GATEHOUSE_LOAD_SECONDS=${GATEHOUSE_LOAD_SECONDS:-30}
export GATEHOUSE_SIZE=${GATEHOUSE_SIZE:-500000}
export GATEHOUSE_SCHEDULES=${GATEHOUSE_SCHEDULES:-150}
export GATEHOUSE_CASES=${GATEHOUSE_CASES:-200}
export GATEHOUSE_KEYS=${GATEHOUSE_KEYS:-1000000}
export GATEHOUSE_AUDIT_ENTRIES=${GATEHOUSE_AUDIT_ENTRIES:-1000000}
export GATEHOUSE_TEST_POSTGRES=required

# name; tests, as nextest filters them; seconds it may take
RUNS='
kill SQLite;     test(/^kills::.*::sqlite$/);                3600
kill PostgreSQL; test(/^kills::.*::postgres$/);              5400
replicas;        test(/^replicas::/);                        900
second tries;    test(/^second_tries::/);                    300
fault matrix;    test(/^fault_matrix::/);                    900
failpoints;      test(/failpoint/);                          1800
idempotency;     test(/^idempotency::/);                     600
outages;         test(/^(conduct|outage)::/);                5400
load;            test(/^load::/);                            1800
bulk schedules;  test(/^bulk_property::/);                   3600
mirror;          test(/^mirror::/);                          1200
size;            test(/^size::/);                            1800
keys;            test(/^keys::/);                            900
audit verifier;  test(/^audit_verify::/);                    1800
audit exports;   test(/^audit_export_size::/);               1800
slow clients;    test(/^slow_clients::/);                    600
corpora;         test(/^(raw_http|hostile_bytes)::/);        300
stops;           test(/^(stopping|disk|database_outage)::/); 900
'

work=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-soak.XXXXXX")
chmod 711 "$work"
running=
finish() {
    # The run under way first: timeout hands the signal on to what it has started.
    if [[ -n $running ]]; then
        kill "$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    stop_postgres
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

features=postgres-tests
if grep -q '^failpoints' Cargo.toml; then features+=,failpoints; fi

wanted() {
    [[ $# -eq 1 ]] && return
    local name=$1 word
    shift
    for word in "$@"; do [[ $name == *"$word"* ]] && return; done
    return 1
}

# A row per line `figure: RUN | WHAT = VALUE, …`: the first value is what was tried.
rows() {
    awk -v run="$1" -v seconds="$2" -v verdict="$3" '
        /^figure: / {
            sub(/^figure: /, "")
            at = index($0, " | ")
            name = substr($0, 1, at - 1)
            count = split(substr($0, at + 3), pairs, ", ")
            tried = pairs[1]
            violations = "-"
            figures = ""
            for (i = 2; i <= count; i++) {
                if (pairs[i] ~ /^violations = /) { violations = substr(pairs[i], 14) }
                else { figures = figures (figures == "" ? "" : ", ") pairs[i] }
            }
            printf "%s\t%s\t%s\t%s\t%s\t%s\n", name, tried, violations, seconds, verdict, figures
            shown = 1
        }
        /^ +Summary \[/ { sub(/^.*\] +/, ""); summary = $0 }
        END { if (!shown) printf "%s\t%s\t-\t%s\t%s\t\n", run, (summary == "" ? "-" : summary), seconds, verdict }
    ' "$4"
}

note=
start_postgres >"$work/start.log" 2>&1 || { cat "$work/start.log"; exit 1; }
echo "PostgreSQL: $note"
if [[ -z ${GATEHOUSE_BIN:-} ]]; then
    cargo build --release
    export GATEHOUSE_BIN=$PWD/target/release/gatehouse
fi
cargo nextest run --features "$features" --no-run

failed=0
printf 'run\ttried\tviolations\tseconds\tverdict\tfigures\n' >"$work/table"
while IFS=';' read -r name filter bound; do
    name=$(xargs <<<"$name") filter=$(sed 's/^ *//; s/ *$//' <<<"$filter") bound=$(xargs <<<"$bound")
    if [[ -z $name ]] || ! wanted "$name" "$@"; then continue; fi
    echo "$name: at most $bound s"
    start=$SECONDS status=0
    # In the background, so that a signal to this script is not held up by it.
    timeout --kill-after=30 "$bound" cargo nextest run --features "$features" --no-fail-fast --no-capture \
        -E "$filter" >"$work/log" 2>&1 </dev/null &
    running=$!
    wait "$running" || status=$?
    running=
    case $status in
        0) verdict=ok ;;
        4) verdict='NO TESTS' ;;
        124 | 137) verdict='TOO LONG' ;;
        *) verdict=FAILED ;;
    esac
    if [[ $status -ne 0 ]]; then
        failed=1
        grep -E '^ +FAIL|panicked at|violations' -A 6 "$work/log" | head -n 60 || tail -n 40 "$work/log"
    fi
    rows "$name" $((SECONDS - start)) "$verdict" "$work/log" >>"$work/table"
done <<<"$RUNS"

echo
column -t -s $'\t' "$work/table"
exit "$failed"
