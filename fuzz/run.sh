#!/usr/bin/env bash
# Runs each fuzz target over its seeds and then with mutated inputs, and prints what it found.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# It needs cargo and a C++ compiler. The targets are built with coverage instrumentation and without a sanitizer, which
# works on a stable Rust. New inputs are kept in fuzz/corpus for the next run, and inputs that fail in fuzz/artifacts. It
# ends with 1 if an input failed, and with 2 if a target does not compile.
#
#   SEED=1    the seed of the mutations; without it, each run has another one

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
export LC_ALL=C

[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { printf 'usage: fuzz/run.sh SECONDS [TARGET...]\n' >&2; exit 2; }
seconds=$1
shift
mapfile -t known < <(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | grep -vx doorward-fuzz)
targets=("$@")
((${#targets[@]})) || targets=("${known[@]}")
for target in "${targets[@]}"; do
    [[ " ${known[*]} " == *" $target "* ]] || { printf 'run.sh: there is no target %s; there are: %s\n' "$target" "${known[*]}" >&2; exit 2; }
    [[ -n $(ls "fuzz/seeds/$target" 2>/dev/null) ]] || { printf 'run.sh: %s has no seeds\n' "$target" >&2; exit 2; }
done

log=$(mktemp "${TMPDIR:-/tmp}/doorward-fuzz.XXXXXX") || exit 2
trap 'rm -f -- "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "building ..." >&2
# With --target, the flags do not reach build scripts and procedural macros.
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(--cfg fuzzing -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do flags+=("-Cllvm-args=-sanitizer-coverage-$option"); done
flags+=(-Ccodegen-units=1 -Cdebug-assertions)
RUSTFLAGS=${flags[*]} CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 \
    cargo build --quiet --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$host" --bins || exit 2

stat() { sed -n "s/^stat::$1: *//p" "$log"; }
found=0
printf '%-15s %11s %9s %9s %9s %8s  %s\n' target executions per_s coverage features corpus findings
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target artifacts=fuzz/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    # A hang fails too: no input of these targets takes ten seconds.
    "target/fuzz/$host/debug/$target" "$corpus" "fuzz/seeds/$target" -max_total_time="$seconds" -seed="${SEED:-0}" -timeout=10 \
        -rss_limit_mb=2048 -max_len=8192 -dict=fuzz/dictionary -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1
    status=$?
    # The last of the lines `cov: 123 ft: 456 corp: 78/9Kb`.
    read -r coverage features inputs < <(sed -n 's/.*cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 \2 \3/p' "$log" | tail -n 1)
    findings=none
    if ((status != 0)); then
        found=1
        findings=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        : "${findings:=it did not run, exit $status}"
    elif [[ -z ${coverage:-} ]]; then
        # Without instrumentation libFuzzer runs, but learns nothing.
        found=1 findings="no coverage was measured"
    fi
    printf '%-15s %11s %9s %9s %9s %8s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "${coverage:--}" "${features:--}" "${inputs:--}" "$findings"
    if ((status != 0)); then
        grep -E "panicked at|ERROR: |SUMMARY: |assertion|left:|right:" -A1 "$log" | sed 's/^/    /' | head -n 12
    fi
    unset coverage features inputs
done
exit "$found"
