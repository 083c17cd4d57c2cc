#!/usr/bin/env bash
# doorward is stopped, killed, frozen and started again while right and wrong credentials come through nginx, with the
# snippets of nginx/. Wrong ones must never be let in; right ones get 200 or a 503 in JSON, and it recovers by itself.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need_nginx
bench_binary storm

free_port; nginx_port=$port
free_port; doorward_port=$port
free_port; admin_port=$port
free_port; backend_port=$port

nginx_files
cat >"$dir/http.conf" <<EOF
include doorward/doorward-http.conf;
upstream doorward { server 127.0.0.1:$doorward_port; keepalive 64; keepalive_requests 100000; keepalive_timeout 60s; }
upstream doorward_upstream { server 127.0.0.1:$backend_port; keepalive 64; }
server {
    listen 127.0.0.1:$nginx_port;
    include doorward/doorward-registry.conf;
}
server {
    listen 127.0.0.1:$backend_port;
    location / { return 200 '{}'; }
}
EOF

start_doorward() {
    start doorward "$doorward" serve --listen "127.0.0.1:$doorward_port" --admin-listen "127.0.0.1:$admin_port" \
        --htpasswd "$htpasswd"
    doorward_pid=$pid
}
now() { say $((${EPOCHREALTIME/[.,]/} / 1000)); }       # milliseconds

# Each of these leaves doorward as it found it, and sets $healed to when it was started or thawed.
nothing() { healed=$(now); }
restart() { sleep 1; healed=$(now); start_doorward; }
sigterm() { stop "$doorward_pid"; restart; }
sigkill() { kill -KILL "$doorward_pid"; wait "$doorward_pid" 2>/dev/null; restart; }
freeze() { kill -STOP "$doorward_pid"; sleep "$1"; healed=$(now); kill -CONT "$doorward_pid"; }

# What `storm load` printed: KIND ANSWER=COUNT ... longest_ms=N trouble_ms=N
field() { sed -n "s/^$1 .*\b$2=\([0-9]*\).*/\1/p" "$dir/load"; }
count() { # kind pattern: answers of this kind whose name matches
    sed -n "s/^$1 \(.*\) longest_ms.*/\1/p" "$dir/load" | tr ' ' '\n' | grep -E "$2" | awk -F = '{ n += $2 } END { print n + 0 }'
}

admitted=0 odd=0
under_load() { # title seconds command...
    local load kind counts trouble recovered
    "$binary" load "$nginx_port" /v2/ "$2" >"$dir/load" &
    load=$!
    pids+=("$load")
    sleep 1.5
    "${@:3}"
    wait "$load" || fail "the load failed"
    say "$1"
    while read -r kind counts; do
        printf '  %-8s %s; the longest took %s ms\n' "$kind" "${counts%% longest_ms=*}" "$(field "$kind" longest_ms)"
    done <"$dir/load"
    trouble=$(field valid trouble_ms)
    recovered=$((trouble > healed ? trouble - healed : 0))
    [[ $3 == nothing ]] || say "  valid: the last answer other than 200 came $recovered ms after doorward was started or thawed"
    admitted=$((admitted + $(count invalid '^2')))
    odd=$((odd + $(count valid . ) - $(count valid '^(200|503-json)=')))
}

start_doorward
wait_for doorward "$admin_port" /readyz
start nginx nginx -p "$dir/" -c "$dir/nginx.conf"
wait_for nginx "$nginx_port" /v2/

say "Answers by status; -json: with an error in JSON"
under_load "nothing happens" 4 nothing
under_load "stopped by SIGTERM, started again a second later" 6 sigterm
under_load "killed by SIGKILL, started again a second later" 6 sigkill
under_load "frozen by SIGSTOP for 3 s" 8 freeze 3
under_load "frozen by SIGSTOP for 13 s, longer than nginx waits" 18 freeze 13

say
printf '%-66s %s\n' "invalid credentials answered with 2xx (target: 0)" "$admitted" \
    "valid ones answered with other than 200 and 503 in JSON (target: 0)" "$odd"
