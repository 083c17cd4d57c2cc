#!/usr/bin/env bash
# Instructions of a cached /auth against those of an actix handler that does nothing, in the same binary, by callgrind;
# and against one that does nothing but send the same headers, which shows what doorward's own work is. The two go
# through actix-web's router, in front of which doorward answers.
#
# A client that sends the same header again is found in the worker's memo; what a cached answer costs without it is
# shown too.
#
# The server runs under callgrind and the client outside, so only the server counts. Each route is measured by two runs
# that differ in the number of requests alone: the difference, divided, is the cost of one request, and the start, the
# one hash and the end are in neither. What the kernel does is not seen by callgrind.
#
#   FEW=2000 MANY=12000   requests of the two runs
#
# The functions where the instructions go are written to target/callgrind-auth.txt.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need valgrind "install it: apt-get install valgrind"

few=${FEW:-2000} many=${MANY:-12000}
report=$root/target/callgrind-auth.txt
bench_binary handlers

total_of() { sed -n 's/^\(totals\|summary\): //p' "$1" | head -n 1; }

run() { # name requests: the name is that of a route, or "differing"
    local out=$dir/$1.$2 port= route=$1 how=()
    [[ $1 == differing ]] && route=auth how=(differing)
    start "$1.$2" valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" serve "$route" "$htpasswd"
    for _ in {1..600}; do
        port=$(grep -Ex '[0-9]+' "$dir/$1.$2.log") && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [[ -n $port ]] || { tail -n 20 "$dir/$1.$2.log" >&2; fail "the server did not start under callgrind"; }
    "$binary" drive "$port" "/$route" "$2" "${how[@]}" || fail "the client failed"
    stop "$pid"
    [[ -s $out ]] || { tail -n 20 "$dir/$1.$2.log" >&2; fail "callgrind wrote nothing"; }
}

per_request() { # name
    ratio $(($(total_of "$dir/$1.$many") - $(total_of "$dir/$1.$few"))) $((many - few)) %.0f
}

functions() { # route requests options...: instructions, and file and function, one a line
    callgrind_annotate --auto=no --threshold=100 --show-percs=no "${@:3}" "$dir/$1.$2" |
        sed -nE 's#^ *([0-9,]+) +([^ ].*:.+)$#\1\t\2#p' |
        sed -E "s# \[[^]]*\]\$##; s#\t[^:]*/registry/src/[^/]*/#\t#; s#\t/rustc/[^/]*/#\t#; s#\t$root/#\t#" |
        awk -F '\t' -v OFS='\t' '{ gsub(",", "", $1); print }'
}

# Instructions of one request by function, /auth beside /empty: columns /auth, /empty, the difference, the function.
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

for name in empty headers auth differing; do
    for requests in "$few" "$many"; do
        say "callgrind: $name, $requests requests ..." >&2
        run "$name" "$requests"
    done
done
auth=$(per_request auth) empty=$(per_request empty) headers=$(per_request headers)
differing=$(per_request differing)

{
    say "Instructions of one request: /auth $auth, /empty $empty, /headers $headers."
    # By itself a function is counted once for each file whose code was inlined into it.
    table 's#\t[^:]*:#\t#'
    show "By themselves, most in /auth" 1 20 1
    show "By themselves, most more than in /empty" 3 40 1
    table '' --inclusive=yes
    # What stands above both handlers is left out.
    show "With what they call, most more than in /empty" 3 60 '$2 < $1 / 2'
} >"$report"

say
printf '%-52s %8s\n' "instructions of one request" "" "  cached /auth" "$auth" "  cached /auth, not in the memo" "$differing" \
    "  empty handler" "$empty" \
    "  handler that only sends the same headers" "$headers" \
    "  /auth to empty handler (target: 1.15 or less)" "$(ratio "$auth" "$empty" %.3f)" \
    "  /auth to handler with the same headers" "$(ratio "$auth" "$headers" %.3f)" \
    "  /auth not in the memo to empty handler" "$(ratio "$differing" "$empty" %.3f)"
say "The functions are in ${report#"$root"/}."
