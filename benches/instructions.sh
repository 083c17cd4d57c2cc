#!/usr/bin/env bash
# Measures the instructions of one cached /auth by callgrind, against servers of actix that send the same headers or none.
# Then it measures them for different numbers of grants in a policy, of API keys, and for a registry token. The last part
# measures nginx itself: a request to a registry with a policy, by the configuration that `doorward proxy-config` writes.
#
#   benches/instructions.sh                   all parts except check
#   benches/instructions.sh auth              one of: auth policy keys nginx check
#   FEW=2000 MANY=12000 GRANTS="1 100 10000" KEYS=100000 benches/instructions.sh
#   UPDATE=1 benches/instructions.sh check    writes benches/budget.txt; without UPDATE it compares with that file
#
#   instructions of one request
#     cached /auth                                            21034
#     ...
#     /auth to http-headers (target: 1.05 or less)            1.040
#
# The server runs under callgrind and the client outside, so only the server counts. Each figure comes from two runs that
# differ in the number of requests only (FEW, MANY): the difference, divided, is the cost of one request. Start, the one hash
# and shutdown cancel out. callgrind does not see the kernel; with strace, the system calls are counted too. callgrind counts
# each byte that `rep stosb` writes, which is a quarter of these figures: actix-http clears two tables for each request. The
# functions with most instructions are written to target/callgrind-auth.txt.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need valgrind "install it: apt-get install valgrind"

few=${FEW:-2000} many=${MANY:-12000} large=${KEYS:-100000}
read -ra counts <<<"${GRANTS:-1 100 10000}"
report=$root/target/callgrind-auth.txt
[[ $* == nginx ]] || bench_binary handlers
users=DOORWARD_HTPASSWD=$htpasswd

total_of() { sed -n 's/^\(totals\|summary\): //p' "$1" | head -n 1; }

port_of() { # log: sets $port, which the server $pid prints
    port=
    for _ in {1..1800}; do
        port=$(grep -Ex '[0-9]+' "$dir/$1.log") && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$dir/$1.log" >&2
    fail "the server did not start"
}

declare -A cost=()
run() { # name requests route variables... -- client-arguments...
    local out=$dir/$1.$2 name=$1.$2 requests=$2 route=$3 port= variables=()
    shift 3
    while [[ $1 != -- ]]; do variables+=("$1"); shift; done
    shift
    say "callgrind: $name requests ..." >&2
    start "$name" valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" serve "$route" "${variables[@]}"
    port_of "$name"
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

# ---- functions of /auth beside those of http-headers: columns /auth, http-headers, the difference, the function

functions() { # route requests options...: instructions, and file and function, one a line
    callgrind_annotate --auto=no --threshold=100 --show-percs=no "${@:3}" "$dir/$1.$2" |
        sed -nE 's#^ *([0-9,]+) +([^ ].*:.+)$#\1\t\2#p' |
        sed -E "s# \[[^]]*\]\$##; s#\t[^:]*/registry/src/[^/]*/#\t#; s#\t/rustc/[^/]*/#\t#; s#\t$root/#\t#" |
        awk -F '\t' -v OFS='\t' '{ gsub(",", "", $1); print }'
}
table() { # sed-script options...
    local route
    for route in auth http-headers; do
        functions "$route" "$few" "${@:2}" | sed -E "$1" >"$dir/few"
        functions "$route" "$many" "${@:2}" | sed -E "$1" >"$dir/many"
        awk -F '\t' -v n=$((many - few)) 'NR == FNR { a[$2] += $1; next } { b[$2] += $1 }
            END { for (f in b) { d = (b[f] - a[f]) / n; if (d >= 1) printf "%.0f\t%s\n", d, f } }' \
            "$dir/few" "$dir/many" >"$dir/$route.functions"
    done
    awk -F '\t' 'NR == FNR { e[$2] = $1; next } { printf "%d\t%d\t%d\t%s\n", $1, e[$2], $1 - e[$2], $2 }' \
        "$dir/http-headers.functions" "$dir/auth.functions" >"$dir/table"
}
show() { # title column lines condition
    printf '\n%s\n%8s %8s %8s  function\n' "$1" /auth headers more
    sort -t "$(printf '\t')" -k "$2,${2}gr" "$dir/table" |
        awk -F '\t' "$4"' && n++ < '"$3"' { printf "%8d %8d %8d  %s\n", $1, $2, $3, $4 }'
}

# ---- the parts

# Fails if /auth with a policy does not answer a registry with the headers of the other servers.
check_heads() {
    local route variables name
    grants 1 >"$dir/policy"
    for route in auth headers http-headers; do
        variables=("$users")
        [[ $route != auth ]] || variables+=("DOORWARD_POLICY=$dir/policy")
        name=head.$route
        start "$name" "$binary" serve "$route" "${variables[@]}"
        port_of "$name"
        "$binary" head "$port" "/$route" >"$dir/$route.head" || fail "the client failed"
        stop "$pid"
        cmp -s "$dir/auth.head" "$dir/$route.head" || {
            diff "$dir/auth.head" "$dir/$route.head" >&2
            fail "$route does not send the headers of /auth"
        }
    done
}

calls_of() { # name requests route variables...: prints the system calls of the server
    local name=$1.$2.strace requests=$2 route=$3 port
    start "$name" strace -f -qq -c -o "$dir/$name" "$binary" serve "$route" "${@:4}"
    port_of "$name"
    "$binary" drive "$port" "/$route" "$requests" || fail "the client failed"
    # strace ignores SIGTERM, and ends with the server.
    stop "$(pgrep -P "$pid")"
    wait "$pid"
    # The total has a column of errors only if there were some.
    awk '$NF == "total" { print (NF == 6 ? $4 : $(NF - 1)) }' "$dir/$name"
}
system_calls() { # route variables...: prints the system calls of one request
    local few_calls many_calls
    few_calls=$(calls_of "$1" "$few" "$@") && many_calls=$(calls_of "$1" "$many" "$@") || return
    ratio $((many_calls - few_calls)) $((many - few)) %.2f
}

part_auth() {
    local route
    check_heads
    measure empty empty "$users" --
    measure headers headers "$users" --
    measure http-headers http-headers "$users" --
    measure auth auth "$users" --
    measure differing auth "$users" -- differing
    {
        say "Instructions of one request: /auth ${cost[auth]}, http-headers ${cost[http-headers]}, /empty ${cost[empty]}."
        # callgrind lists a function once for each file whose code was inlined into it.
        table 's#\t[^:]*:#\t#'
        show "Exclusive, most in /auth" 1 20 1
        show "Exclusive, most more than in http-headers" 3 40 1
        table '' --inclusive=yes
        show "Inclusive, most more than in http-headers, without what is above both" 3 60 '$2 < $1 / 2'
    } >"$report"
    say "instructions of one request"
    line "  cached /auth" "${cost[auth]}" ""
    line "  cached /auth, not in the worker's cache" "${cost[differing]}" ""
    line "  empty handler of actix-web" "${cost[empty]}" ""
    line "  handler of actix-web with the same headers" "${cost[headers]}" ""
    line "  http-headers: actix-http with the same headers" "${cost[http-headers]}" ""
    line "  /auth to http-headers (target: 1.05 or less)" "$(ratio "${cost[auth]}" "${cost[http-headers]}" %.3f)" ""
    line "  /auth to empty handler" "$(ratio "${cost[auth]}" "${cost[empty]}" %.3f)" ""
    line "  /auth to handler with the same headers" "$(ratio "${cost[auth]}" "${cost[headers]}" %.3f)" ""
    if command -v strace >/dev/null; then
        say "system calls of one request"
        for route in auth http-headers; do line "  $route" "$(system_calls "$route" "$users")" ""; done
    fi
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

as() { printf 'Basic %s' "$(printf '%s:%s' "$1" "$2" | base64 -w 0)"; } # user password

part_keys() {
    local count plain scoped keys name
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

# ---- the budget of each step: see benches/budget.txt

budget=$root/benches/budget.txt
loss_max=3      # percent

part_check() {
    local plain scoped token step count ratio budget_count budget_ratio lost=() moved=() more
    grants 1 >"$dir/policy.1"
    grants 10000 >"$dir/policy.10000"
    { read -r plain; read -r scoped; } < <("$binary" keys "$dir/keys" 100)
    read -r token < <("$binary" token "$dir/signing-key" registry)
    [[ -n $scoped && -n $token ]] || fail "no keys were written"
    measure empty empty "$users" --
    measure http-headers http-headers "$users" --
    measure auth auth "$users" --
    measure auth-not-in-worker-cache auth "$users" -- differing
    measure auth-policy-1 auth "$users" "DOORWARD_POLICY=$dir/policy.1" --
    printf 'group1: alice\ngroup4: alice\n' >"$dir/groups"
    measure auth-policy-10000 auth "$users" "DOORWARD_POLICY=$dir/policy.10000" "DOORWARD_GROUPS=$dir/groups" --
    measure api-key-as-password auth "$users" "DOORWARD_API_KEYS=$dir/keys" -- as "$(as alice "$plain")"
    measure api-key-as-bearer auth "$users" "DOORWARD_API_KEYS=$dir/keys" -- as "Bearer $plain"
    measure registry-token-es256 auth "$users" "DOORWARD_TOKEN_SIGNING_KEYS=$dir/signing-key" \
        DOORWARD_PUBLIC_LISTEN=127.0.0.1:8002 DOORWARD_TOKEN_SERVICE=registry \
        DOORWARD_TOKEN_REALM=https://registry.example/token -- as "Bearer $token"
    measure_nginx_steps
    if [[ -n ${UPDATE:-} ]]; then
        {
            sed -n '/^#/p' "$budget"
            for step in "${steps[@]}"; do budget_line "$step"; done
        } >"$dir/budget" && cp "$dir/budget" "$budget" || fail "cannot write $budget"
        cat "$budget"
        return
    fi
    printf '%-28s %8s %8s %7s   %7s %7s %7s\n' "instructions of one request" now budget change ratio budget change
    for step in "${steps[@]}"; do
        read -r _ budget_count budget_ratio < <(grep -E "^$step +[0-9]" "$budget") ||
            fail "$budget has no line for $step; write it with UPDATE=1"
        read -r _ count ratio < <(budget_line "$step")
        printf '%-28s %8d %8d %6s%%   %7s %7s %6s%%\n' "$step" "$count" "$budget_count" "$(change "$count" "$budget_count")" \
            "$ratio" "$budget_ratio" "$(change "$ratio" "$budget_ratio")"
        # These steps do not depend on doorward.
        more=
        case $step in
            empty | http-headers | nginx-open | nginx-floor) ;;
            *) ! is_loss "$ratio" "$budget_ratio" || more=ratio ;;
        esac
        if [[ -n $more ]]; then lost+=("$step"); elif is_loss "$count" "$budget_count"; then moved+=("$step"); fi
    done
    if ((${#lost[@]})); then
        say "more than $loss_max% over the budget, also relative to http-headers, so doorward does more: ${lost[*]}"
    fi
    if ((${#moved[@]})); then
        say "more than $loss_max% over the budget, but not relative to http-headers, so the compiler, a dependency or the machine" \
            "changed: ${moved[*]}"
    fi
    ((${#lost[@]} + ${#moved[@]} == 0)) || fail "over the budget; if that is intended, run \`make bench-check UPDATE=1\`"
}
steps=(empty http-headers auth auth-not-in-worker-cache auth-policy-1 auth-policy-10000 api-key-as-password
    api-key-as-bearer registry-token-es256 nginx-open nginx-floor nginx-doorward nginx-registry nginx-registry-log)
budget_line() { # step
    local base=http-headers
    [[ $1 != nginx-* ]] || base=nginx-floor
    printf '%-28s %8d %8s\n' "$1" "${cost[$1]}" "$(ratio "${cost[$1]}" "${cost[$base]}" %.3f)"
}
change() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%+.1f", (a / b - 1) * 100 }'; }
is_loss() { awk -v a="$1" -v b="$2" -v max="$loss_max" 'BEGIN { exit !(a > b * (1 + max / 100)) }'; }

# ---- nginx

# Writes $dir/front.conf: nginx with this http part, in one process that callgrind can count.
front() { # text
    nginx_files
    sed -i "s/worker_processes auto;/worker_processes 1; master_process off;/; s/worker_connections 4096/worker_connections 1024/" "$dir/nginx.conf"
    printf '%s\n' "$1" >"$dir/http.conf"
}
measure_nginx() { # name http-part: sets cost[name]
    local before total
    front "$2"
    nginx_total "$1" "$((few / 10))"
    before=$total
    nginx_total "$1" "$((many / 10))"
    cost[$1]=$(ratio $((total - before)) $((many / 10 - few / 10)) %.0f)
}
nginx_total() { # name requests: sets $total, the instructions of the requests
    local requests=$2
    for _ in {1..3}; do
        say "callgrind: $1, $requests requests ..." >&2
        start "$1" valgrind --tool=callgrind --callgrind-out-file="$dir/$1.$requests" nginx -p "$dir/" -c "$dir/nginx.conf"
        wait_for_port "$1" "$front_port"
        # The start takes 50 million, and their number varies.
        callgrind_control -z "$pid" >/dev/null 2>&1 || fail "callgrind_control failed"
        curl --silent --show-error --fail --output /dev/null --header "Authorization: $basic" --header User-Agent: \
            --header Accept: "http://127.0.0.1:$front_port/v2/library/alpine/manifests/t[1-$requests]" || fail "a request failed"
        stop "$pid"
        # Sometimes callgrind ends without a total.
        total=$(total_of "$dir/$1.$requests")
        [[ -z $total ]] || return 0
    done
    fail "callgrind wrote no total"
}
# Starts doorward with a policy, and an nginx that is the registry and the auth service of the floor.
nginx_world() {
    local name
    for name in front doorward public admin floor registry; do
        free_port
        printf -v "${name}_port" %s "$port"
    done
    grants 1 >"$dir/policy.nginx"
    start doorward "$doorward" serve --listen "127.0.0.1:$doorward_port" --admin-listen "127.0.0.1:$admin_port" \
        --htpasswd "$htpasswd" --policy "$dir/policy.nginx"
    wait_for doorward "$admin_port" /readyz
    # The first request computes a hash.
    curl --silent --fail --header "Authorization: $basic" --header X-Original-Method:GET --header X-Original-URI:/v2/library/alpine/tags/list \
        --header X-Original-Host:registry --header X-Original-Content-Type:ct: --header X-Real-IP:127.0.0.1 \
        --header X-Auth-Rewrite:yes "http://127.0.0.1:$doorward_port/auth" || fail "doorward refuses $basic"
    mkdir -p "$dir/behind/temp" && sed "s#$dir/#$dir/behind/#g" >"$dir/behind/nginx.conf" <<EOF
daemon off; pid $dir/nginx.pid; error_log stderr crit; events { }
http {
access_log off; keepalive_requests 10000000;
client_body_temp_path $dir/temp/body; proxy_temp_path $dir/temp/proxy; fastcgi_temp_path $dir/temp/f; uwsgi_temp_path $dir/temp/u; scgi_temp_path $dir/temp/s;
server { listen 127.0.0.1:$floor_port; location / { return 204; } }
server { listen 127.0.0.1:$registry_port; location / { default_type application/json; return 200 "{}"; } }
}
EOF
    start behind nginx -p "$dir/behind/" -c "$dir/behind/nginx.conf"
    wait_for_port behind "$registry_port"
    upstreams="upstream floor { server 127.0.0.1:$floor_port; keepalive 64; keepalive_requests 100000; }
upstream doorward { server 127.0.0.1:$doorward_port; keepalive 64; keepalive_requests 100000; }
upstream registry { server 127.0.0.1:$registry_port; keepalive 64; keepalive_requests 100000; }"
    generated=$("$doorward" proxy-config nginx --kind registry --server-name 127.0.0.1 --listen "127.0.0.1:$front_port" \
        --plain-http on --auth "127.0.0.1:$doorward_port" --upstream "127.0.0.1:$registry_port" \
        --access-log "$dir/access.log" 2>/dev/null) || fail "doorward could not write the configuration of nginx"
}
bare() { # auth-service: a server with the least that auth_request needs; none without an argument
    local pass='proxy_pass http://registry; proxy_http_version 1.1; proxy_set_header Connection "";'
    [[ -n ${1-} ]] || { say "$upstreams server { listen 127.0.0.1:$front_port; location /v2/ { $pass } }"; return; }
    say "$upstreams server { listen 127.0.0.1:$front_port; location /v2/ { auth_request /_auth; $pass }
location = /_auth { internal; proxy_pass http://$1/auth; proxy_http_version 1.1; proxy_set_header Connection \"\";
proxy_pass_request_body off; proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI \$request_uri;
proxy_set_header X-Original-Method \$request_method; proxy_set_header X-Original-Host \$host;
proxy_set_header X-Original-Content-Type \"ct:\$content_type\"; proxy_set_header X-Real-IP \$remote_addr; } }"
}
measure_nginx_steps() {
    need_doorward
    need_nginx
    need curl "install it: apt-get install curl"
    nginx_world
    local without_log=${generated//access_log $dir\/access.log doorward;/access_log off;}
    [[ $without_log != "$generated" ]] || fail "the access log was not found in the configuration"
    measure_nginx nginx-open "$(bare)"
    measure_nginx nginx-floor "$(bare floor)"
    measure_nginx nginx-doorward "$(bare doorward)"
    measure_nginx nginx-registry "$without_log"
    measure_nginx nginx-registry-log "$generated"
}
part_nginx() {
    measure_nginx_steps
    line "instructions of nginx for one request to a registry" "" "to the floor"
    local step
    for step in nginx-open nginx-floor nginx-doorward nginx-registry nginx-registry-log; do
        line "  $step" "${cost[$step]}" "$(ratio "${cost[$step]}" "${cost[nginx-floor]}" %.3f)"
    done
}

parts=("$@")
((${#parts[@]})) || parts=(auth policy keys nginx)
for part in "${parts[@]}"; do
    case $part in
        auth | policy | keys | nginx | check) say; "part_$part" ;;
        *) fail "unknown part: $part; there are auth, policy, keys, nginx and check" ;;
    esac
done
