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

# maven_tests PHRASE COMMAND...: adds up the closing lines of Surefire, one for each module. A skipped test is one that did not pass.
maven_tests() {
    counted "$1" '
        { gsub(/\033\[[0-9;]*m/, "") }
        /Tests run: [0-9]+, Failures: [0-9]+, Errors: [0-9]+, Skipped: [0-9]+/ && !/Time elapsed/ {
            sub(/.*Tests run: /, "")
            split($0, n, /[^0-9]+/)
            bad = n[2] + n[3] + n[4]
            p += n[1] - bad
            f += bad
        }
        END { print p + 0, f + 0 }' "${@:2}"
}

# swift_tests PHRASE COMMAND...: adds up what XCTest and Swift Testing say at the end; `swift test` runs both. As above, skipped is failed.
swift_tests() {
    counted "$1" '
        { gsub(/\033\[[0-9;]*m/, "") }
        /^Test Case .* failed \(/ { f++ }
        /^Test Suite .(All|Selected) tests. (passed|failed) at/ { last = 1 }
        last && /Executed [0-9]+ tests?, with/ {
            last = 0
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^tests?,$/) ran += $(i-1)
                if ($i == "skipped") f += $(i-2)
            }
        }
        / Test "?[^ ].* (failed|skipped)( after|\.|:|$)/ && !/ Test run | recorded an issue / { f++ }
        / Test run with [0-9]+ tests?/ { for (i = 2; i <= NF; i++) if ($i ~ /^tests?$/ && $(i-2) == "with") ran += $(i-1) }
        END { f += 0; print (ran > f ? ran - f : 0), f }' "${@:2}"
}

# Commands for the end of the lane, whatever ends it: the last one given runs first.
AT_EXIT=()
at_exit() {
    local before
    if [ ${#AT_EXIT[@]} = 0 ]; then
        # A lane may have a trap of its own already.
        before=$(trap -p EXIT)
        if [ -n "$before" ]; then
            eval "set -- ${before% EXIT}" '"$@"'
            AT_EXIT=("$3")
            shift 3
        fi
        trap run_at_exit EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
    fi
    AT_EXIT+=("$*")
}
run_at_exit() {
    local i
    for ((i = ${#AT_EXIT[@]} - 1; i >= 0; i--)); do eval "${AT_EXIT[i]}" || true; done
}

# with_world [OPTION...]: real and small servers behind proxies, for the tests of a driver (tests/world). They read the file that EPODE_WORLD
# names. $WORLD is a folder of this lane's own. Options go to epode-world: `--pki-seen-as DIR` for tests that run in another root. All of it
# ends with the lane; a lane that has more to end says so with `at_exit`. Without it nothing can be tested: a failure ends the lane.
with_world() {
    WORLD=$CACHE/world-$(basename "$0")
    check "the test world" start_world "$@"
    [ "$LANE_FAILED" = 0 ] || finish
}
start_world() {
    local tries
    need_root
    tests/servers/setup debian13 || return
    cargo build --locked -p epode-world || return
    tests/servers/server down "$WORLD" || return
    at_exit 'tests/servers/server down "$WORLD"'
    tests/servers/server up "$WORLD" prosody-13 || return
    export EPODE_WORLD=$WORLD/world.json
    rm -f "$EPODE_WORLD"
    "$TARGET/debug/epode-world" --pki "$PKI" --servers "$WORLD/servers.json" --out "$EPODE_WORLD" "$@" >/dev/null 2>"$WORLD/world.err" &
    WORLD_PID=$!
    at_exit 'kill -TERM $WORLD_PID 2>/dev/null; wait $WORLD_PID; cat "$WORLD/world.err"'
    for tries in $(seq 600); do
        if [ -e "$EPODE_WORLD" ]; then return; fi
        if ! kill -0 "$WORLD_PID" 2>/dev/null; then break; fi
        sleep 0.05
    done
    echo "epode-world is not there after $tries looks"
    return 1
}

# world_says COMMAND ANSWER: what the control port must answer, such as `world_says "violations dev" "ok []"`
world_says() {
    local port answer
    port=$(python3 -c 'import json, os; print(json.load(open(os.environ["EPODE_WORLD"]))["control"]["port"])') || return
    exec {control}<>"/dev/tcp/127.0.0.1/$port" || return
    echo "$1" >&"$control"
    read -r answer <&"$control"
    exec {control}>&-
    echo "$1: $answer"
    [ "$answer" = "$2" ]
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
