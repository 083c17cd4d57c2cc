#!/usr/bin/env bash
# Measures idle memory, the time from the start to the first 200 of /readyz, binary size and the number of crates.
# doorward runs with the default settings and one htpasswd file. The binary is stripped.
#
#   [STARTS=20] benches/size.sh      medians of this number of starts
#
#   idle memory, resident, median of 20 (target: 8 MiB)        6.3 MiB
#   start to ready, median of 20 (target: 30 ms)               8.1 ms

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need cargo "install Rust: https://rustup.rs"

starts=${STARTS:-20}
free_port; auth_port=$port
free_port

times=() memory=() private=()
for ((n = 1; n <= starts; n++)); do
    begin=$EPOCHREALTIME                # before the fork of the shell
    start doorward "$doorward" serve --listen "127.0.0.1:$auth_port" --admin-listen "127.0.0.1:$port" --htpasswd "$htpasswd"
    until is_ready "$port" /readyz; do
        kill -0 "$pid" 2>/dev/null || { cat "$dir/doorward.log" >&2; fail "doorward has ended"; }
    done
    end=$EPOCHREALTIME
    times+=("$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.2f", (b - a) * 1000 }')")
    sleep 0.3                           # until it is idle
    memory+=("$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status")")
    private+=("$(awk '/^RssAnon:/ { print $2 }' "/proc/$pid/status")")
    stop "$pid"
    pids=()
done

stripped=$dir/stripped
cp "$doorward" "$stripped"
if command -v strip >/dev/null; then strip "$stripped"; fi
crates=$(cd "$root" && cargo tree --edges normal,build --prefix none --format '{p}' | sed 's/ (\*)$//; s/ (proc-macro)//' |
    sort -u | wc -l) || fail "cargo tree failed"

mebi() { awk -v k="$1" 'BEGIN { printf "%.1f MiB", k / 1024 }'; }
printf '%-58s %s\n' \
    "idle memory, resident, median of $starts (target: 8 MiB)" "$(mebi "$(median "${memory[@]}")")" \
    "  of this private; the rest is the program file" "$(mebi "$(median "${private[@]}")")" \
    "start to ready, median of $starts (target: 30 ms)" "$(median "${times[@]}") ms" \
    "  fastest and slowest" "$(printf '%s\n' "${times[@]}" | sort -g | sed -n '1p; $p' | paste -sd ' ') ms" \
    "stripped binary" "$(awk -v b="$(wc -c <"$stripped")" 'BEGIN { printf "%.2f MB", b / 1e6 }')" \
    "crates, without doorward itself" "$((crates - 1))"
