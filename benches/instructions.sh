#!/usr/bin/env bash
# Measures the instructions of one cached /auth by callgrind, against an empty actix handler, and one with the same headers.
# Then it measures them for different numbers of grants in a policy, and of API keys.
#
#   benches/instructions.sh                   all three parts
#   benches/instructions.sh auth              one of: auth policy keys
#   FEW=2000 MANY=12000 GRANTS="1 100 10000" KEYS=100000 benches/instructions.sh
#
#   instructions of one request
#     cached /auth                                            21034
#     ...
#     /auth to empty handler (target: 1.15 or less)           1.140
#
# The server runs under callgrind and the client outside, so only the server counts. Each figure comes from two runs that
# differ in the number of requests only (FEW, MANY): the difference, divided, is the cost of one request. Start, the one hash
# and shutdown cancel out. callgrind does not see the kernel. The functions with most instructions are written to
# target/callgrind-auth.txt.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need valgrind "install it: apt-get install valgrind"

few=${FEW:-2000} many=${MANY:-12000} large=${KEYS:-100000}
read -ra counts <<<"${GRANTS:-1 100 10000}"
report=$root/target/callgrind-auth.txt
bench_binary handlers
users=DOORWARD_HTPASSWD=$htpasswd

total_of() { sed -n 's/^\(totals\|summary\): //p' "$1" | head -n 1; }

declare -A cost=()
run() { # name requests route variables... -- client-arguments...
    local out=$dir/$1.$2 name=$1.$2 requests=$2 route=$3 port= variables=()
    shift 3
    while [[ $1 != -- ]]; do variables+=("$1"); shift; done
    shift
    say "callgrind: $name requests ..." >&2
    start "$name" valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" serve "$route" "${variables[@]}"
    for _ in {1..1800}; do
        port=$(grep -Ex '[0-9]+' "$dir/$name.log") && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [[ -n $port ]] || { tail -n 20 "$dir/$name.log" >&2; fail "the server did not start under callgrind"; }
    # Reading a large file takes most instructions, and their number varies a little.
    callgrind_control -z "$pid" >/dev/null 2>&1 || fail "callgrind_control failed"
    "$binary" drive "$port" "/$route" "$requests" "$@" || fail "the client failed"
    stop "$pid"
    [[ -s $out ]] || { tail -n 20 "$dir/$name.log" >&2; fail "callgrind wrote nothing"; }
}
measure() { # name route variables... -- client-arguments...: sets cost[name]
    run "$1" "$few" "${@:2}"
    run "$1" "$many" "${@:2}"
    cost[$1]=$(ratio $(($(total_of "$dir/$1.$many") - $(total_of "$dir/$1.$few"))) $((many - few)) %.0f)
}
line() { printf '%-56s %10s %s\n' "$@"; } # label figure note

# ---- functions of /auth beside those of /empty: columns /auth, /empty, the difference, the function

functions() { # route requests options...: instructions, and file and function, one a line
    callgrind_annotate --auto=no --threshold=100 --show-percs=no "${@:3}" "$dir/$1.$2" |
        sed -nE 's#^ *([0-9,]+) +([^ ].*:.+)$#\1\t\2#p' |
        sed -E "s# \[[^]]*\]\$##; s#\t[^:]*/registry/src/[^/]*/#\t#; s#\t/rustc/[^/]*/#\t#; s#\t$root/#\t#" |
        awk -F '\t' -v OFS='\t' '{ gsub(",", "", $1); print }'
}
table() { # sed-script options...
    local route
    for route in auth empty; do
        functions "$route" "$few" "${@:2}" | sed -E "$1" >"$dir/few"
        functions "$route" "$many" "${@:2}" | sed -E "$1" >"$dir/many"
        awk -F '\t' -v n=$((many - few)) 'NR == FNR { a[$2] += $1; next } { b[$2] += $1 }
            END { for (f in b) { d = (b[f] - a[f]) / n; if (d >= 1) printf "%.0f\t%s\n", d, f } }' \
            "$dir/few" "$dir/many" >"$dir/$route.functions"
    done
    awk -F '\t' 'NR == FNR { e[$2] = $1; next } { printf "%d\t%d\t%d\t%s\n", $1, e[$2], $1 - e[$2], $2 }' \
        "$dir/empty.functions" "$dir/auth.functions" >"$dir/table"
}
show() { # title column lines condition
    printf '\n%s\n%8s %8s %8s  function\n' "$1" /auth /empty more
    sort -t "$(printf '\t')" -k "$2,${2}gr" "$dir/table" |
        awk -F '\t' "$4"' && n++ < '"$3"' { printf "%8d %8d %8d  %s\n", $1, $2, $3, $4 }'
}

# ---- the parts

part_auth() {
    measure empty empty "$users" --
    measure headers headers "$users" --
    measure auth auth "$users" --
    measure differing auth "$users" -- differing
    {
        say "Instructions of one request: /auth ${cost[auth]}, /empty ${cost[empty]}, /headers ${cost[headers]}."
        # callgrind lists a function once for each file whose code was inlined into it.
        table 's#\t[^:]*:#\t#'
        show "Exclusive, most in /auth" 1 20 1
        show "Exclusive, most more than in /empty" 3 40 1
        table '' --inclusive=yes
        show "Inclusive, most more than in /empty, without what is above both handlers" 3 60 '$2 < $1 / 2'
    } >"$report"
    say "instructions of one request"
    line "  cached /auth" "${cost[auth]}" ""
    line "  cached /auth, not in the worker's cache" "${cost[differing]}" ""
    line "  empty handler" "${cost[empty]}" ""
    line "  handler that only sends the same headers" "${cost[headers]}" ""
    line "  /auth to empty handler (target: 1.15 or less)" "$(ratio "${cost[auth]}" "${cost[empty]}" %.3f)" ""
    line "  /auth to handler with the same headers" "$(ratio "${cost[auth]}" "${cost[headers]}" %.3f)" ""
    say "The functions are in ${report#"$root"/}."
}

# Grants as a large team writes them: for single users, for groups, and for all; the one that permits the request is last.
grants() { # count
    awk -v n="$1" 'BEGIN {
        for (i = 1; i < n; i++) {
            who = i % 3 == 0 ? "users = [\"user" i "\"]" : i % 3 == 1 ? "groups = [\"group" i "\"]" : "who = \"authenticated\""
            printf "[[grant]]\n%s\nrepositories = [\"team%d/**\"]\nactions = [\"pull\"]\n", who, i
        }
        printf "[[grant]]\nusers = [\"alice\"]\nrepositories = [\"library/**\"]\nactions = [\"pull\", \"push\"]\n"
    }'
}
part_policy() {
    local count
    printf 'group1: alice\ngroup4: alice\n' >"$dir/groups"
    measure none auth "$users" --
    for count in "${counts[@]}"; do
        grants "$count" >"$dir/policy.$count"
        measure "grants$count" auth "$users" "DOORWARD_POLICY=$dir/policy.$count" "DOORWARD_GROUPS=$dir/groups" --
    done
    line "instructions of one request, by number of grants" "" "to ${counts[0]} (target for 10000: 1.5 or less)"
    line "  no policy" "${cost[none]}" ""
    for count in "${counts[@]}"; do
        line "  $count" "${cost[grants$count]}" "$(ratio "${cost[grants$count]}" "${cost[grants${counts[0]}]}" %.3f)"
    done
}

part_keys() {
    local count plain scoped keys name
    as() { printf 'Basic %s' "$(printf '%s:%s' "$1" "$2" | base64 -w 0)"; }
    measure password auth "$users" -- as "$basic"
    for count in 10 "$large"; do
        { read -r plain; read -r scoped; } < <("$binary" keys "$dir/keys.$count" "$count")
        [[ -n $scoped ]] || fail "no keys were written"
        keys=DOORWARD_API_KEYS=$dir/keys.$count
        measure "password beside $count keys" auth "$users" "$keys" -- as "$basic"
        measure "key as the owner's password, of $count" auth "$users" "$keys" -- as "$(as alice "$plain")"
        measure "key as a bearer, of $count" auth "$users" "$keys" -- as "Bearer $plain"
        measure "key with a scope, of $count" auth "$users" "$keys" -- as "$(as token "$scoped")"
    done
    line "instructions of one request, by number of API keys" "" "to a cached password"
    for name in password "password beside "{10,"$large"}" keys" {"key as the owner's password","key as a bearer","key with a scope"}", of "{10,"$large"}; do
        line "  $name" "${cost[$name]}" "$(ratio "${cost[$name]}" "${cost[password]}" %.3f)"
    done
}

parts=("$@")
((${#parts[@]})) || parts=(auth policy keys)
for part in "${parts[@]}"; do
    case $part in
        auth | policy | keys) say; "part_$part" ;;
        *) fail "unknown part: $part; there are auth, policy and keys" ;;
    esac
done
