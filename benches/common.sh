# Shared by the bench scripts. Source it after `set -uo pipefail`.
#
# All servers listen on loopback, on free ports, and keep their files in a temporary folder. They are stopped by process id
# when the script ends. A missed target is printed and does not fail the script.
#
#   DOORWARD=FILE      the doorward to measure, instead of target/release/doorward
#   BENCHES=FOLDER     compiled benches (files `handlers`, `storm`), instead of building them with `cargo bench`

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin      # nginx is there, and these are not in every user's PATH
LC_ALL=C                                        # numbers with a decimal point
export LC_ALL PATH

doorward=${DOORWARD:-$root/target/release/doorward}
htpasswd=$root/htpasswd.example
basic="Basic $(printf alice:wonderland | base64)"       # a user of htpasswd.example

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }       # the EXIT trap cleans up

need() { # command what-to-do
    command -v "$1" >/dev/null || fail "there is no $1; $2"
}
need_doorward() { [[ -x $doorward ]] || fail "there is no $doorward; build it with \`cargo build --release\`"; }
need_nginx() {
    need nginx "install it: apt-get install nginx-light"
    [[ $(nginx -V 2>&1) == *http_auth_request_module* ]] || fail "nginx is built without ngx_http_auth_request_module"
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/doorward-bench.XXXXXX") || fail "cannot create a temporary folder"
pids=()

stop() { # pid: SIGTERM, and SIGKILL after ten seconds
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

clean_up() {
    trap '' INT TERM
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do stop "${pids[i]}"; done
    rm -rf -- "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start() { # log command...: in the background; sets $pid
    local log=$dir/$1.log
    shift
    : >>"$log"
    "$@" </dev/null >>"$log" 2>&1 &
    pid=$!
    pids+=("$pid")
}

in_use() { { : 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; }

taken=' '
free_port() { # sets $port, below the range that the kernel uses for outgoing connections
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        [[ $taken == *" $port "* ]] && continue
        in_use "$port" || { taken+="$port "; return; }
    done
    fail "there is no free port between 20000 and 32000"
}

# Succeeds if GET PATH on PORT returns 200. Written in bash: starting a process for each try would dominate the measurement.
is_ready() { # port path
    local line=
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nConnection: close\r\n\r\n' "$2" "$basic" >&3
    IFS= read -r -t 15 line <&3
    exec 3<&-
    [[ $line == 'HTTP/1.1 200 '* ]]
}

wait_for() { # log port path: until it is ready
    local end=$((SECONDS + 30))
    until is_ready "$2" "$3"; do
        ((SECONDS < end)) || { tail -n 20 "$dir/$1.log" >&2; fail "$1 is not ready after 30 s"; }
        sleep 0.05
    done
}

wait_for_port() { # log port: until the process $pid listens
    local end=$((SECONDS + 30))
    until in_use "$2"; do
        kill -0 "$pid" 2>/dev/null || { tail -n 20 "$dir/$1.log" >&2; fail "$1 does not start"; }
        ((SECONDS < end)) || { tail -n 20 "$dir/$1.log" >&2; fail "$1 does not listen after 30 s"; }
        sleep 0.05
    done
}

bench_binary() { # name: builds it and sets $binary
    binary=${BENCHES:+$BENCHES/$1}
    [[ -z $binary ]] || { [[ -x $binary ]] || fail "there is no $binary"; return; }
    say "building the bench $1 ..." >&2
    # A folder of its own: cargo would replace the measured doorward with one that has debug symbols.
    binary=$(cd "$root" && cargo bench --quiet --target-dir target/bench --bench "$1" --no-run --message-format json |
        sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p') || fail "cargo could not build the bench $1"
    [[ -x $binary ]] || fail "cargo did not print the path of the bench $1"
}

median() { # numbers...
    printf '%s\n' "$@" | sort -g | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
ratio() { awk -v a="$1" -v b="$2" -v f="${3:-%.2f}" 'BEGIN { if (b > 0) printf f "\n", a / b; else print "-" }'; }

# Writes $dir/nginx.conf, which includes $dir/http.conf.
nginx_files() {
    local user_line= module built
    built=$(nginx -V 2>&1)
    mkdir -p "$dir/temp" "$dir/html" "$dir/doorward" || fail "cannot write to $dir"
    if ((EUID == 0)); then
        # nginx's workers run as this user, who must be able to enter the folder.
        user_line="user nobody $(id -gn nobody);"
        chmod 711 "$dir"
    fi
    {
        say "$user_line daemon off; worker_processes auto; pid $dir/nginx.pid; error_log stderr crit;"
        say "events { worker_connections 4096; }"
        # A bench sends more requests over one connection than the default of 1,000.
        say "http { access_log off; keepalive_requests 10000000; default_type text/plain;"
        say "client_body_temp_path $dir/temp/body; proxy_temp_path $dir/temp/proxy;"
        for module in fastcgi uwsgi scgi; do
            [[ $built == *--without-http_${module}_module* ]] || say "${module}_temp_path $dir/temp/$module;"
        done
        say "include $dir/http.conf; }"
    } >"$dir/nginx.conf"
}
