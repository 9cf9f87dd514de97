# What every lane shares: running a check, counting what it says, installing what it needs. Sourced by the lanes, never run.
# shellcheck shell=bash disable=SC2034
#
# A lane is `set -euo pipefail; . "$(dirname "$0")/lib.sh"`, then calls of the functions below. Each goes on after a failure, so that one
# run shows all that is broken; the lane then ends with a failure. $EPODE_RESULTS gets a line `passed N failed N PHRASE` for each.
. "$(dirname "${BASH_SOURCE[0]}")/../servers/lib.sh"
cd "$REPO" || exit
TARGET=${CARGO_TARGET_DIR:-$REPO/target}
TOOLS=$CACHE/tools
RESULTS=${EPODE_RESULTS:-/dev/null}
LANE_FAILED=0
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# result PASSED FAILED PHRASE...
result() {
    echo "passed $1 failed $2 ${*:3}" >>"$RESULTS"
    if [ "$2" = 0 ]; then echo "--- ${*:3}: $1 passed"; else
        LANE_FAILED=1
        echo "--- ${*:3}: $1 passed, $2 FAILED"
    fi
}

# check PHRASE COMMAND...: one check, which passes if the command does
check() {
    local phrase=$1
    shift
    printf '\n--- %s\n' "$phrase"
    if "$@"; then result 1 0 "$phrase"; else result 0 1 "$phrase"; fi
}

# counted PHRASE PROGRAM COMMAND...: runs the command; PROGRAM is awk that prints "PASSED FAILED" out of what it said
counted() {
    local phrase=$1 program=$2 log passed failed status=0
    shift 2
    printf '\n--- %s: %s\n' "$phrase" "$*"
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    read -r passed failed < <(awk "$program" "$log")
    rm -f "$log"
    # A command that fails without a failed test did not build or crashed; one that passes without any test tests nothing.
    if [ "$status" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
    if [ "$passed" = 0 ] && [ "$failed" = 0 ]; then
        echo "no test ran"
        failed=1
    fi
    result "$passed" "$failed" "$phrase"
}

# cargo_tests PHRASE COMMAND...: adds up the "test result:" lines of a cargo test
cargo_tests() { counted "$1" '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "${@:2}"; }

# python_tests PHRASE COMMAND...: reads pytest's last line ("3 failed, 12 passed in 1.2s")
python_tests() {
    counted "$1" '/ in [0-9.]+s/ { p = f = 0; for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p = $(i-1); if ($i ~ /^(failed|error)/) f += $(i-1) } } END { print p + 0, f + 0 }' "${@:2}"
}

# Last line of every lane.
finish() { exit "$LANE_FAILED"; }

# cargo_tool NAME VERSION: a program from the registry, built once without optimisation (a quarter of the time), kept under target/tools
cargo_tool() {
    local began=$SECONDS
    if "$TOOLS/bin/$1" --version 2>/dev/null | grep -qF "$2"; then return; fi
    echo "installing $1 $2 into $TOOLS ..."
    CARGO_TARGET_DIR="$TOOLS/build" cargo install --quiet --locked --debug --force --root "$TOOLS" --version "$2" "$1"
    rm -rf "$TOOLS/build"
    echo "$1: $((SECONDS - began)) s"
}
