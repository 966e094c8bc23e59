#!/usr/bin/env bash
# Schema-driven fuzzing: schemathesis calls every operation of /openapi.json of a running demo, gateway and sandbox, with
# what the document allows and what it does not, for a bounded time, and fails on any answer that the document does not
# describe. Run by tests/run.sh; also by itself, after `cargo build`. GATEHOUSE_FUZZ_SECONDS is the time (default 60).
#
# One worker: Python 3.11 cannot parse its own source in two threads at once.
# Not checked: that whatever the document allows is accepted. Fields of bodies are typed as anything on purpose, since what
# is wrong with a value is PostPost's to say.
set -euo pipefail
cd "$(dirname "$0")/.."

SCHEMATHESIS=4.32.5
seconds=${GATEHOUSE_FUZZ_SECONDS:-60}
venv=$PWD/target/schemathesis
data=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-fuzz.XXXXXX")
demo=

finish() {
    if [[ -n $demo ]]; then
        kill "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
    fi
    rm -rf "$data"
}
trap finish EXIT
trap 'exit 130' INT TERM

if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$SCHEMATHESIS"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS"
fi

# Limits would answer most calls with 429, which says little.
GATEHOUSE_KEY_RATE=0 GATEHOUSE_TENANT_RATE=0 \
    target/debug/gatehouse demo --listen 127.0.0.1:0 --data "$data/demo" >"$data/log" 2>&1 &
demo=$!
for _ in $(seq 300); do
    [[ -f $data/demo/demo.json ]] && break
    kill -0 "$demo" 2>/dev/null || { cat "$data/log"; exit 1; }
    sleep 0.2
done
read -r url tenant_key workspace_key < <(python3 -c '
import json, sys
demo = json.load(open(sys.argv[1]))
print(demo["url"], demo["tenants"][0]["key"], demo["workspaceKey"])' "$data/demo/demo.json")

fuzz() {
    local key=$1 time=$2
    shift 2
    # It keeps notes in the folder it runs in.
    (cd "$data" && "$venv/bin/schemathesis" --no-color run "$url/openapi.json" --header "x-api-key: $key" --max-time "$time" \
        --max-examples 10 --workers 1 --request-timeout 30 --continue-on-failure --warnings off \
        --exclude-checks positive_data_acceptance "$@") | tee "$data/fuzz"
    cases=$((cases + $(sed -n 's/^ *\([0-9]*\) generated.*/\1/p' "$data/fuzz")))
}

cases=0
fuzz "$tenant_key" "$seconds" --exclude-path-regex '^/api/v1/workspace/'
fuzz "$workspace_key" $((seconds / 2)) --include-path-regex '^/api/v1/workspace/'
kill -0 "$demo"
echo "$cases cases, no failure"
