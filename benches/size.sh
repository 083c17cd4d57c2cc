#!/usr/bin/env bash
# How large doorward is and how fast it starts: idle memory with the settings as they come and one htpasswd file, time
# from its start to the first 200 of /readyz, size of the stripped binary, crates in its tree.
#
#   STARTS=20    starts to take the median of

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
    begin=$EPOCHREALTIME
    # Counted from before the fork that the shell needs.
    "$doorward" serve --listen "127.0.0.1:$auth_port" --admin-listen "127.0.0.1:$port" --htpasswd "$htpasswd" </dev/null >"$dir/doorward.log" 2>&1 &
    pid=$!
    pids=("$pid")
    until is_ready "$port" /readyz; do
        kill -0 "$pid" 2>/dev/null || { cat "$dir/doorward.log" >&2; fail "doorward has ended"; }
    done
    end=$EPOCHREALTIME
    times+=("$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.2f", (b - a) * 1000 }')")
    sleep 0.3                   # until it is idle
    memory+=("$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status")")
    private+=("$(awk '/^RssAnon:/ { print $2 }' "/proc/$pid/status")")
    stop "$pid"
    pids=()
done

stripped=$dir/stripped
cp "$doorward" "$stripped"
if command -v strip >/dev/null; then strip "$stripped"; fi      # the release profile has done it already
crates=$(cd "$root" && cargo tree --edges normal,build --prefix none --format '{p}' | sed 's/ (\*)$//; s/ (proc-macro)//' |
    sort -u | wc -l) || fail "cargo tree failed"

mebi() { awk -v k="$1" 'BEGIN { printf "%.1f MiB", k / 1024 }'; }
printf '%-58s %s\n' \
    "idle memory, resident, median of $starts (target: 8 MiB)" "$(mebi "$(median "${memory[@]}")")" \
    "  of this its own, the rest is the file of the program" "$(mebi "$(median "${private[@]}")")" \
    "start to ready, median of $starts (target: 30 ms)" "$(median "${times[@]}") ms" \
    "  fastest and slowest" "$(printf '%s\n' "${times[@]}" | sort -g | sed -n '1p; $p' | paste -sd ' ') ms" \
    "stripped binary" "$(awk -v b="$(wc -c <"$stripped")" 'BEGIN { printf "%.2f MB", b / 1e6 }')" \
    "crates in the tree, doorward itself not counted" "$((crates - 1))"
