#!/usr/bin/env bash
# Runs each fuzz target for so long, and prints what came of it.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# It needs cargo-fuzz (`cargo install cargo-fuzz --locked`). With a nightly Rust the targets are built with the address
# sanitizer, without one they run on the installed Rust and are several times as fast. What was learned is kept in
# fuzz/corpus for the next run, and what was found in fuzz/artifacts. Exit 1 if something was found.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
export LC_ALL=C

usage() { printf 'usage: fuzz/run.sh SECONDS [TARGET...]\n' >&2; exit 2; }
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
seconds=$1
shift
cargo fuzz --version >/dev/null 2>&1 || { echo 'run.sh: there is no cargo-fuzz; cargo install cargo-fuzz --locked' >&2; exit 2; }

if cargo +nightly --version >/dev/null 2>&1; then
    cargo=(cargo +nightly) options=()
else
    cargo=(cargo) options=(-s none)
fi
targets=("$@")
if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(cargo fuzz list)
fi

log=$(mktemp "${TMPDIR:-/tmp}/doorward-fuzz.XXXXXX") || exit 2
trap 'rm -f -- "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "building ..." >&2
for target in "${targets[@]}"; do
    "${cargo[@]}" fuzz build "${options[@]}" "$target" >"$log" 2>&1 || { cat "$log" >&2; exit 2; }
done

stat() { sed -n "s/^stat::$1: *//p" "$log"; }
found=0
printf '%-15s %11s %9s %9s %9s %8s  %s\n' target executions per_s coverage features corpus findings
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target artifacts=fuzz/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    # A hang is a finding too: no input of these targets takes as long as ten seconds.
    "${cargo[@]}" fuzz run "${options[@]}" "$target" "$corpus" "fuzz/seeds/$target" -- -max_total_time="$seconds" \
        -timeout=10 -rss_limit_mb=2048 -max_len=8192 -dict=fuzz/dictionary -print_final_stats=1 >"$log" 2>&1
    status=$?
    # The last of the lines that say `cov: 123 ft: 456 corp: 78/9Kb`.
    read -r coverage features inputs < <(sed -n 's/.*cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 \2 \3/p' "$log" | tail -n 1)
    findings=none
    if ((status != 0)); then
        found=1
        findings=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        : "${findings:=it did not run, exit $status}"
    fi
    printf '%-15s %11s %9s %9s %9s %8s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "${coverage:--}" "${features:--}" "${inputs:--}" "$findings"
    if ((status != 0)); then
        grep -E "panicked at|ERROR: |SUMMARY: |assertion|left:|right:" -A1 "$log" | sed 's/^/    /' | head -n 12
    fi
    unset coverage features inputs
done
exit "$found"
