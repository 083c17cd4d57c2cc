# The engine, its command line and compose. To be sourced.

# The user's own credentials and contexts have no part in this.
export DOCKER_CONFIG=$dir/docker-config
mkdir -p "$DOCKER_CONFIG"
# The classic builder where the engine has one: what it builds, BuildKit does, too.
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} COMPOSE_DOCKER_CLI_BUILD=${COMPOSE_DOCKER_CLI_BUILD:-0}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

engine_start() {
    title engine
    if [[ ${ENGINE-} != own ]] && engine_answers; then
        engine=theirs
    else
        "$root/tests/need" dockerd iptables || exit 1
        engine=ours
        # What it changes of this machine's network is put back.
        iptables-save >"$dir/iptables" 2>/dev/null && at_end "iptables-restore <'$dir/iptables'"
        at_end "sysctl -q -w net.ipv4.ip_forward=$(sysctl -n net.ipv4.ip_forward)"
        [[ -e /sys/class/net/docker0 ]] || at_end "ip link del docker0"
        # The path of a unix socket is short.
        export DOCKER_HOST=unix://$dir/docker.sock
        # In a session of its own: Ctrl-C must not end it before what runs in it is cleaned up.
        setsid dockerd --host "$DOCKER_HOST" --data-root "$dir/docker" --exec-root "$dir/exec" \
            --pidfile "$dir/docker.pid" </dev/null >"$dir/dockerd.log" 2>&1 &
        engine_pid=$!
        at_end "stop $engine_pid"
        wait_until 60 engine_answers ||
            { tail -n 20 "$dir/dockerd.log" >&2; fail "dockerd does not answer after 60 s"; }
    fi
    if [[ -n ${COMPOSE-} ]]; then read -ra compose_command <<<"$COMPOSE"
    elif docker compose version >/dev/null 2>&1; then compose_command=(docker compose)
    else "$root/tests/need" docker-compose || exit 1; compose_command=(docker-compose)
    fi
    note "$(docker version --format 'docker {{.Client.Version}}, engine {{.Server.Version}}')" \
        "($engine, $(docker info --format '{{.Driver}}')), $("${compose_command[@]}" version --short)"
    note "$(podman --version), $(skopeo --version)"
    # Where containers meet the machine: a port that is published there is no loopback port, so docker insists on TLS.
    gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}') && [[ -n $gateway ]] ||
        gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Subnet}}' | sed 's#\.0/.*#.1#')
}

status_of() { docker inspect --format "{{.State.$2}}" "$1" 2>/dev/null; }     # container field
