#!/usr/bin/env bash
# Instructions of a cached /auth with a policy of so many grants, by callgrind, against one without a policy.
#
# The grants are what a large team would write: one for each of many users on his own repository, for many groups on
# theirs, and for everybody on many single ones; the one that permits the request stands last.
#
#   FEW=1000 MANY=5000   requests of the two runs whose difference is measured
#   GRANTS="1 100 10000"

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need valgrind "install it: apt-get install valgrind"

few=${FEW:-1000} many=${MANY:-5000}
read -ra counts <<<"${GRANTS:-1 100 10000}"
bench_binary handlers

total_of() { sed -n 's/^\(totals\|summary\): //p' "$1" | head -n 1; }

policy() { # grants: a file of so many
    awk -v n="$1" 'BEGIN {
        for (i = 1; i < n; i++) {
            who = i % 3 == 0 ? "users = [\"user" i "\"]" : i % 3 == 1 ? "groups = [\"group" i "\"]" : "who = \"authenticated\""
            printf "[[grant]]\n%s\nrepositories = [\"team%d/**\"]\nactions = [\"pull\"]\n", who, i
        }
        printf "[[grant]]\nusers = [\"alice\"]\nrepositories = [\"library/**\"]\nactions = [\"pull\", \"push\"]\n"
    }'
}

run() { # grants requests
    local out=$dir/$1.$2 port= arguments=()
    [[ $1 == none ]] || arguments=("$dir/policy.$1" "$dir/groups")
    start "$1.$2" valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" serve auth "$htpasswd" "${arguments[@]}"
    for _ in {1..1200}; do
        port=$(grep -Ex '[0-9]+' "$dir/$1.$2.log") && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [[ -n $port ]] || { tail -n 20 "$dir/$1.$2.log" >&2; fail "the server did not start under callgrind"; }
    "$binary" drive "$port" /auth "$2" || fail "the client failed"
    stop "$pid"
    [[ -s $out ]] || { tail -n 20 "$dir/$1.$2.log" >&2; fail "callgrind wrote nothing"; }
}

# alice is in two of the groups.
printf 'group1: alice\ngroup4: alice\n' >"$dir/groups"

declare -A cost
for grants in none "${counts[@]}"; do
    [[ $grants == none ]] || policy "$grants" >"$dir/policy.$grants"
    for requests in "$few" "$many"; do
        say "callgrind: $grants grants, $requests requests ..." >&2
        run "$grants" "$requests"
    done
    cost[$grants]=$(ratio $(($(total_of "$dir/$grants.$many") - $(total_of "$dir/$grants.$few"))) $((many - few)) %.0f)
done

first=${counts[0]}
say
printf '%-28s %12s %14s %14s\n' "grants" instructions "to no policy" "to $first grant"
printf '%-28s %12s\n' none "${cost[none]}"
for grants in "${counts[@]}"; do
    printf '%-28s %12s %14s %14s\n' "$grants" "${cost[$grants]}" "$(ratio "${cost[$grants]}" "${cost[none]}" %.3f)" \
        "$(ratio "${cost[$grants]}" "${cost[$first]}" %.3f)"
done
say "The last column's target for 10000 grants is 1.5 or less."
