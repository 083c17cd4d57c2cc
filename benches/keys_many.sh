#!/usr/bin/env bash
# Many API keys against ten: load time, memory and changes (see keys_many.py, which also says what KEYS and STARTS are), and
# by callgrind the instructions of an /auth with a key, against one with a password that is cached.
#
#   FEW=1000 MANY=5000   requests of the two runs whose difference is measured

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need valgrind "install it: apt-get install valgrind"
need python3 "install it: apt-get install python3"

few=${FEW:-1000} many=${MANY:-5000} large=${KEYS:-100000}

# In the background, so that the trap finds its process id.
python3 "$root/benches/keys_many.py" &
pids+=("$!")
wait "$!" || exit

bench_binary handlers
total_of() { sed -n 's/^\(totals\|summary\): //p' "$1" | head -n 1; }

run() { # name keys authorization requests
    local out=$dir/$1.$4 what=(serve keys "$htpasswd" "$dir/keys.$2") port=
    [[ $2 != none ]] || what=(serve auth "$htpasswd")
    start "$1.$4" valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" "${what[@]}"
    for _ in {1..1800}; do
        port=$(grep -Ex '[0-9]+' "$dir/$1.$4.log") && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [[ -n $port ]] || { tail -n 20 "$dir/$1.$4.log" >&2; fail "the server did not start under callgrind"; }
    # Reading the file would be most of it, and differs a little from run to run.
    callgrind_control -z "$pid" >/dev/null 2>&1 || fail "callgrind_control failed"
    "$binary" drive "$port" /auth "$4" as "$3" || fail "the client failed"
    stop "$pid"
    [[ -s $out ]] || { tail -n 20 "$dir/$1.$4.log" >&2; fail "callgrind wrote nothing"; }
}
as() { printf 'Basic %s' "$(printf '%s:%s' "$1" "$2" | base64 -w 0)"; }

declare -A cost
measure() { # name keys authorization
    local requests
    for requests in "$few" "$many"; do
        say "callgrind: $1, $requests requests ..." >&2
        run "$1" "$2" "$3" "$requests"
    done
    cost[$1]=$(ratio $(($(total_of "$dir/$1.$many") - $(total_of "$dir/$1.$few"))) $((many - few)) %.0f)
}

rows=()
measure password none "$basic"
rows+=("a password, cached, without keys" password)
for count in 10 "$large"; do
    { read -r plain; read -r scoped; } < <(python3 "$root/benches/key_file.py" "$dir/keys.$count" "$count" alice)
    [[ -n $scoped ]] || fail "no keys were written"
    measure "password.$count" "$count" "$basic"
    measure "plain.$count" "$count" "$(as alice "$plain")"
    measure "bearer.$count" "$count" "Bearer $plain"
    measure "scoped.$count" "$count" "$(as token "$scoped")"
    rows+=("a password, cached, beside $count keys" "password.$count" "a key of $count, as the owner's password" "plain.$count"
        "a key of $count, as a bearer" "bearer.$count" "a key of $count with a scope, with the fixed name" "scoped.$count")
done

say
printf '%-52s %12s %14s\n' "instructions of one request" "" "to a password"
for ((i = 0; i < ${#rows[@]}; i += 2)); do
    printf '%-52s %12s %14s\n' "${rows[i]}" "${cost[${rows[i + 1]}]}" "$(ratio "${cost[${rows[i + 1]}]}" "${cost[password]}" %.3f)"
done
