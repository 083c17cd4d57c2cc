#!/usr/bin/env bash
# Starts nginx, doorward and a Docker registry on loopback, with the users of htpasswd.example. `make run` builds doorward
# and then calls this script. All files are in a temporary folder, which is removed at the end, by Ctrl-C or SIGTERM.
#
#   PORT=5000              the port of nginx on 127.0.0.1; the other programs use free ports
#   DOORWARD=FILE          the doorward to run, instead of target/release/doorward
#   HTPASSWD=FILE          the users, instead of htpasswd.example
#   NGINX=FILE, REGISTRY=FILE   the programs nginx and docker-registry

set -uo pipefail
set -m      # each child has its own process group, so Ctrl-C reaches this script only, and it stops the children in order

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
root=$(dirname "$here")
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin      # nginx is there, and these are not on the PATH of every user

dir=
names=()            # in the order of the starts
declare -A pid_of

say() { printf '%s\n' "$*"; }
fail() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }      # the EXIT trap cleans up

running() { kill -0 "${pid_of[$1]}" 2>/dev/null; }

tail_of() {
    printf -- '--- the last lines of the log of %s:\n' "$1" >&2
    tail -n 20 "$dir/$1.log" >&2
    printf -- '---\n' >&2
}

clean_up() {
    trap '' INT TERM
    exec 2>/dev/null    # otherwise bash reports each job that ends
    local group i
    # The newest first, so that nginx accepts no more requests while the others end. The signal goes to the process group of
    # each child, because the workers of a killed nginx continue without it.
    for ((i = ${#names[@]} - 1; i >= 0; i--)); do
        group=-${pid_of[${names[i]}]}
        kill -TERM -- "$group"
        for _ in {1..50}; do
            kill -0 -- "$group" || break
            sleep 0.1
        done
        kill -KILL -- "$group"
    done
    [[ -n $dir ]] && rm -rf -- "$dir"
}

start() { # name command...
    local name=$1
    shift
    "$@" </dev/null >"$dir/$name.log" 2>&1 &
    pid_of[$name]=$!
    names+=("$name")
}

# Prints the status of a response, or 000: http_status PORT PATH [USER:PASSWORD]. Written in bash, so that curl is not needed.
http_status() {
    local line auth=
    [[ -n ${3-} ]] && auth="Authorization: Basic $(printf %s "$3" | base64)"$'\r\n'
    line=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n%sConnection: close\r\n\r\n' "$2" "$1" "$auth" >&3
        IFS= read -r -t 15 line <&3 && printf %s "$line"
    )
    [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]] && say "${BASH_REMATCH[1]}" || say 000
}

wait_for() { # name port path status [user:password]
    local name=$1 status=000 end=$((SECONDS + 20))
    while ((SECONDS < end)); do
        running "$name" || { tail_of "$name"; fail "$name ended during its start, see above"; }
        status=$(http_status "$2" "$3" "${5-}")
        [[ $status == "$4" ]] && return
        sleep 0.1
    done
    tail_of "$name"
    fail "$name is not ready after 20 s: GET http://127.0.0.1:$2$3 returns $status instead of $4 (000: no response)"
}

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

taken=()
free_port() { # sets $port, below the range that the kernel uses for outgoing connections
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 12000))
        [[ " ${taken[*]-} " == *" $port "* ]] || in_use "$port" || { taken+=("$port"); return; }
    done
    fail "no free port between 20000 and 32000"
}

# ---- requirements

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 403)) || fail "bash 4.3 or newer is required; this is $BASH_VERSION"

port=${PORT:-5000}
[[ $port =~ ^[1-9][0-9]{0,4}$ ]] && ((port <= 65535)) || fail "PORT=$port is not a port"

doorward=${DOORWARD:-$root/target/release/doorward}
htpasswd=${HTPASSWD:-$root/htpasswd.example}
[[ -x $doorward ]] || fail "there is no $doorward: build it with \`cargo build --release\`, or use \`make run\`"
[[ -r $htpasswd ]] || fail "cannot read $htpasswd"

nginx=$(command -v "${NGINX:-nginx}") ||
    fail "nginx is not installed: apt-get install nginx-light (Debian, Ubuntu), apk add nginx (Alpine), dnf install nginx (Fedora)"
built=$("$nginx" -V 2>&1)
[[ $built == *http_auth_request_module* ]] ||
    fail "$nginx is built without ngx_http_auth_request_module; install your distribution's nginx (Debian: nginx-light)"
registry=$(command -v "${REGISTRY:-docker-registry}") || registry=$(command -v registry) ||
    fail "docker-registry is not installed: apt-get install docker-registry (Debian, Ubuntu); on other systems use the program \`registry\` from https://github.com/distribution/distribution/releases"

in_use "$port" && fail "port $port is in use; set another one: PORT=5001 make run"
nginx_port=$port
taken+=("$port")

# ---- the configuration

trap clean_up EXIT
trap 'exit 0' INT TERM
dir=$(mktemp -d "${TMPDIR:-/tmp}/doorward-run.XXXXXX") || fail "cannot create a temporary folder"
mkdir "$dir"/{logs,temp,storage} || fail "cannot write to $dir"

user_line=
if ((EUID == 0)); then
    # The workers of nginx run as this user, which must be able to enter the folder.
    user_line="user nobody $(id -gn nobody);"
    chmod 711 "$dir"
fi

# Folders for modules that are not used. The compiled-in folders belong to root.
temp_lines=
for module in fastcgi uwsgi scgi; do
    [[ $built == *--without-http_${module}_module* ]] || temp_lines+="    ${module}_temp_path \"$dir/temp/$module\";"$'\n'
done

free_port; doorward_port=$port
free_port; admin_port=$port
free_port; registry_port=$port
"$here/make-secret.sh" "$dir/secret" || fail "cannot create a secret in $dir"

# nginx does not start without doorward.conf.
cat >"$dir/nginx.conf" <<EOF || fail "cannot write to $dir"
$user_line
daemon off;
worker_processes auto;
pid "$dir/nginx.pid";
error_log stderr warn;
events { worker_connections 1024; }
http {
    client_body_temp_path "$dir/temp/body";
    proxy_temp_path "$dir/temp/proxy";
$temp_lines
    include doorward.conf;
}
EOF
# Only these options apply. The command finds the version of nginx by the PATH.
for name in "${!NGX_DOORWARD_@}"; do unset "$name"; done
PATH=$(dirname "$nginx"):$PATH DOORWARD_CONFIG='' "$doorward" proxy-config nginx --output "$dir" --kind registry \
    --listen "127.0.0.1:$nginx_port" --plain-http on --auth "127.0.0.1:$doorward_port" --upstream "127.0.0.1:$registry_port" \
    --proxy-secret-file "$dir/secret" --access-log /dev/stdout || fail "nginx cannot be configured, see above"

cat >"$dir/registry.yml" <<EOF || fail "cannot write to $dir"
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "$dir/storage"}
  delete: {enabled: true}
http:
  addr: 127.0.0.1:$registry_port
  secret: $RANDOM$RANDOM$RANDOM
EOF
# The registry reads settings from REGISTRY_*, and Kubernetes sets such variables for a service with the name registry.
for name in "${!REGISTRY_@}"; do unset "$name"; done

# ---- the three programs

start docker-registry "$registry" serve "$dir/registry.yml"
start doorward "$doorward" serve --listen "127.0.0.1:$doorward_port" --htpasswd "$htpasswd" \
    --admin-listen "127.0.0.1:$admin_port" --proxy-secret-file "$dir/secret"
wait_for docker-registry "$registry_port" /v2/ 200
wait_for doorward "$admin_port" /readyz 200
start nginx "$nginx" -p "$dir/" -c "$dir/nginx.conf"
wait_for nginx "$nginx_port" /v2/ 401
[[ -n ${HTPASSWD-} ]] || wait_for nginx "$nginx_port" /v2/ 200 alice:wonderland

users="alice, password wonderland; bob, password builder"
[[ -n ${HTPASSWD-} ]] && users="use them below instead of alice and bob"
at=127.0.0.1:$nginx_port
cat <<EOF

The registry is at $at: nginx, doorward (port $doorward_port) and docker-registry (port $registry_port) are running.
Users, from $htpasswd: $users.
Metrics: curl http://127.0.0.1:$admin_port/metrics
Logs: $dir/{nginx,doorward,docker-registry}.log

  curl     curl -u alice:wonderland http://$at/v2/_catalog
           curl -i http://$at/v2/                                  # refused: 401

  docker   echo wonderland | docker login --username alice --password-stdin $at
           docker pull alpine && docker tag alpine $at/team/alpine
           docker push $at/team/alpine
           docker pull $at/team/alpine

  podman   echo builder | podman login --tls-verify=false --username bob --password-stdin $at
           podman pull docker.io/library/alpine
           podman push --tls-verify=false docker.io/library/alpine $at/team/alpine
           podman pull --tls-verify=false $at/team/alpine

  skopeo   echo builder | skopeo login --tls-verify=false --username bob --password-stdin $at
           skopeo copy --dest-tls-verify=false docker://docker.io/library/alpine docker://$at/team/alpine
           skopeo copy --src-tls-verify=false docker://$at/team/alpine dir:/tmp/alpine

Ctrl-C stops all three programs and removes all pushed images.
EOF

# Waits for a signal, or until one of the programs ends.
while :; do
    wait -n "${pid_of[@]}"
    for name in "${names[@]}"; do
        running "$name" || { tail_of "$name"; fail "$name has ended; the other programs are stopped"; }
    done
done
