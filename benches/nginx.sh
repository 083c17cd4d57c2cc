#!/usr/bin/env bash
# Measures requests a second through nginx with wrk, for three servers of one nginx, in turn:
#
#   doorward      auth_request to doorward, as `doorward proxy-config` configures it; a user with a bcrypt hash of cost 10, cached
#   return 204    the same, but the subrequest goes to another server of the same nginx, which answers 204
#   auth_basic    nginx's own module, with the same htpasswd file
#
#   benches/nginx.sh                  over a unix socket
#   OVER=tcp benches/nginx.sh         over TCP
#   ROUNDS=7 SECONDS_EACH=2 CONNECTIONS=96
#   OTHERS=10     most processor time of other programs in a round that counts, in percent of one core
#
#   doorward to return 204 (target: 0.95 or more)   1.00
#   doorward to auth_basic (target: 300 or more)    1000
#
# All three serve the same file of a few bytes, so the check is as large a part of the work as possible. nginx and doorward
# have a worker for each core, and wrk has one thread. Together they use the whole machine, so requests a second compare the
# total work of a request. With one nginx worker doorward would look better than `return 204`, since it would use a core of
# its own. `reuseport` and many connections give all workers the same share.
#
# A round in which other programs used the machine is shown and not counted. The processor time of the servers (nginx and
# doorward, not wrk) for each request is shown too.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need_nginx
need wrk "install it: apt-get install wrk"

rounds=${ROUNDS:-7} each=${SECONDS_EACH:-2} connections=${CONNECTIONS:-96} others_max=${OTHERS:-10} workers=$(nproc)

free_port; doorward_port=$port
free_port; admin_port=$port
free_port; nothing_port=$port
free_port; ours_port=$port              # the three servers
free_port; empty_port=$port
free_port; basic_port=$port

# `return 204` is reached over TCP in both cases.
over=${OVER:-unix}
case $over in
    unix) doorward_at=unix:$dir/doorward.sock ;;
    tcp) doorward_at=127.0.0.1:$doorward_port ;;
    *) fail "OVER is unix or tcp" ;;
esac

nginx_files
"$doorward" proxy-config nginx --include-only --output "$dir/doorward" --auth "$doorward_at" ||
    fail "doorward could not write the configuration of nginx"
cat >"$dir/http.conf" <<EOF
include doorward/doorward-http.conf;
upstream nothing { server 127.0.0.1:$nothing_port; keepalive 64; keepalive_requests 100000; keepalive_timeout 60s; }
root $dir/html;
server {
    listen 127.0.0.1:$ours_port reuseport;
    include doorward/doorward-server.inc;
    location = /file { }
}
server {
    listen 127.0.0.1:$empty_port reuseport;
    include doorward/nothing-server.inc;
    location = /file { }
}
server {
    listen 127.0.0.1:$basic_port reuseport;
    auth_basic Registry;
    auth_basic_user_file $dir/htpasswd;
    location = /file { }
}
server {
    listen 127.0.0.1:$nothing_port reuseport;
    location / { return 204; }
}
EOF
# The first two servers differ in the name of the upstream only.
sed -i '/^access_log /d' "$dir/doorward/doorward-server.inc"
sed "s#//doorward/auth;#//nothing/auth;#" "$dir/doorward/doorward-server.inc" >"$dir/doorward/nothing-server.inc"
grep -q //nothing/auth "$dir/doorward/nothing-server.inc" || fail "the name of the upstream was not found in doorward-server.inc"
cp "$htpasswd" "$dir/htpasswd" && chmod 644 "$dir/htpasswd"
say ok >"$dir/html/file"

start doorward "$doorward" serve --listen "127.0.0.1:$doorward_port" --listen "unix:$dir/doorward.sock" --socket-mode 0666 \
    --admin-listen "127.0.0.1:$admin_port" \
    --htpasswd "$htpasswd"
servers=$pid
wait_for doorward "$admin_port" /readyz
start nginx nginx -p "$dir/" -c "$dir/nginx.conf"
for port in "$ours_port" "$empty_port" "$basic_port"; do wait_for nginx "$port" /file; done

servers+=" $pid $(cat "/proc/$pid/task/$pid/children")"

cpu_ticks() { # of all servers so far
    local each sum=0 fields
    for each in $servers; do
        read -ra fields <"/proc/$each/stat" || fail "process $each has ended"
        sum=$((sum + fields[13] + fields[14]))
    done
    say "$sum"
}

# nginx computes hashes for connections that are already closed, and answers no other request meanwhile.
settle() {
    local before after=0
    until [[ ${before-} == "$after" ]]; do
        before=$after
        sleep 0.3
        after=$(cpu_ticks) || exit 1
    done
}

busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }     # of the whole machine

# Prints three figures: requests a second, the microseconds of the servers for each request, and the processor time of other
# programs in percent of one core. It fails if a response is not a 200.
measure() { # port seconds
    local out cpu busy TIMEFORMAT='%U %S'
    cpu=$(cpu_ticks) busy=$(busy_ticks) || exit 1
    out=$({ time wrk -t 1 -c "$connections" -d "$2s" --timeout 10s -H "Authorization: $basic" "http://127.0.0.1:$1/file"; } 2>&1) ||
        fail "wrk failed: $out"
    busy=$(($(busy_ticks) - busy)) cpu=$(($(cpu_ticks) - cpu)) || exit 1
    [[ $out != *Non-2xx* ]] || fail "not every answer was 200: $out"
    awk -v cpu="$cpu" -v busy="$busy" -v hertz="$(getconf CLK_TCK)" -v seconds="$2" '
        /requests in/ { n = $1 }
        /^Requests\/sec/ { rate = $2 }
        END {
            others = (busy - cpu) / hertz - $1 - $2
            if (others < 0) others = 0
            printf "%.1f %.1f %.0f\n", rate, (n ? cpu / hertz * 1e6 / n : 0), others / seconds * 100
        }' <<<"$out"
}

measure "$ours_port" 1 >/dev/null || exit 1     # the answer is cached, the connections are open
measure "$empty_port" 1 >/dev/null || exit 1
ours=() empty=() basics=() ours_cpu=() empty_cpu=() basics_cpu=() noisy=0
line() { printf '%-8s %12s %12s %12s %14s %10s\n' "$@"; }
line round doorward "return 204" auth_basic doorward/204 others
for ((round = 1; round <= 3 * rounds && ${#ours[@]} < rounds; round++)); do
    a=$(measure "$ours_port" "$each") && b=$(measure "$empty_port" "$each") && c=$(measure "$basic_port" "$each") || exit 1
    settle
    read -r a a_cpu a_others <<<"$a"
    read -r b b_cpu b_others <<<"$b"
    read -r c c_cpu c_others <<<"$c"
    others=$(printf '%s\n' "$a_others" "$b_others" | sort -g | tail -n 1)
    line "$round" "$a" "$b" "$c" "$(ratio "$a" "$b")" "$others%"
    # If the machine is never quiet, the last rounds count.
    ((others <= others_max)) || noisy=$((noisy + (round > 2 * rounds)))
    if ((others <= others_max || round > 2 * rounds)); then
        ours+=("$a") empty+=("$b") basics+=("$c") ours_cpu+=("$a_cpu") empty_cpu+=("$b_cpu") basics_cpu+=("$c_cpu")
    fi
done
a=$(median "${ours[@]}") b=$(median "${empty[@]}") c=$(median "${basics[@]}")
line median "$a" "$b" "$c" "$(ratio "$a" "$b")" ""
a_cpu=$(median "${ours_cpu[@]}") b_cpu=$(median "${empty_cpu[@]}")
line "cpu, us" "$a_cpu" "$b_cpu" "$(median "${basics_cpu[@]}")" "$(ratio "$a_cpu" "$b_cpu")" ""

say
say "requests a second, doorward over $over; nginx $workers workers, wrk 1 thread, $connections connections, ${#ours[@]} rounds of $each s counted"
((noisy == 0)) || say "in $noisy of them OTHER PROGRAMS USED THE MACHINE: run it again when it is quiet"
say "doorward to return 204 (target: 0.95 or more)   $(ratio "$a" "$b")"
say "doorward to auth_basic (target: 300 or more)    $(ratio "$a" "$c" %.0f)"
