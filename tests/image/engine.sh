# Starts the engine, and selects the commands of docker and compose. Sourced by run.

# The credentials and contexts of the user are not used.
export DOCKER_CONFIG=$dir/docker-config
mkdir -p "$DOCKER_CONFIG"
# The classic builder if the engine has one. BuildKit can build everything that the classic builder can.
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} COMPOSE_DOCKER_CLI_BUILD=${COMPOSE_DOCKER_CLI_BUILD:-0}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

engine_start() {
    title engine
    if [[ ${ENGINE-} != own ]] && engine_answers; then
        engine=existing
    else
        "$root/tests/need" dockerd iptables || exit 1
        engine=own
        # The network settings of this machine are restored at the end.
        iptables-save >"$dir/iptables" 2>/dev/null && at_end "iptables-restore <'$dir/iptables'"
        at_end "sysctl -q -w net.ipv4.ip_forward=$(sysctl -n net.ipv4.ip_forward)"
        [[ -e /sys/class/net/docker0 ]] || at_end "ip link del docker0"
        # The path of a unix socket must be short.
        export DOCKER_HOST=unix://$dir/docker.sock
        # In its own session, so that Ctrl-C does not stop it before its containers are removed.
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
    # The address of this machine in the network of containers. For a port that is published there docker requires TLS,
    # because it is not a loopback address.
    gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}') && [[ -n $gateway ]] ||
        gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Subnet}}' | sed 's#\.0/.*#.1#')
}

status_of() { docker inspect --format "{{.State.$2}}" "$1" 2>/dev/null; }     # container field
