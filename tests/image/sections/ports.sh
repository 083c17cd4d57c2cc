# The ports, sockets and mounts that each container, and this machine, can reach.

section_ports() {
    local service
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port NGX_DOORWARD_SUBNET=${NGX_DOORWARD_SUBNET:-172.31.255.0/28}
    # doorward listens on TCP here, so that its port can be tested.
    stack_up ports tcp && ready "https://$NGX_DOORWARD_PUBLISH/v2/" || return
    for service in registry doorward; do
        same "ports of $service that are published" "$(docker port "$(container "$service")")" ""
    done
    same "ports of nginx that are published" "$(docker port "$(container nginx)")" "443/tcp -> $NGX_DOORWARD_PUBLISH"
    reach "registry, from nginx" nginx registry 5000 open
    reach "doorward, from nginx" nginx doorward 8000 open
    reach "doorward, from the registry" registry doorward 8000 closed
    reach "nginx, from the registry" registry nginx 443 open
    stranger "registry" 5000
    stranger "doorward" 8000
    machine nginx 443 open
    machine registry 5000 closed
    machine doorward 8000 closed
    stack_down
    ports_socket
}

# Prints `open` if one of the addresses accepts a TCP connection within 3 s, and `closed` otherwise. For bash without curl.
connects='
    for at; do timeout 3 bash -c ": <>/dev/tcp/${at%:*}/${at##*:}" 2>/dev/null && echo open && exit; done
    echo closed'

addresses() { # service port: prints the name, and the address on each network
    local address
    for address in "$1" $(addresses_of "$(container "$1")"); do printf '%s:%s ' "$address" "$2"; done
}

# The addresses with a route over a Docker bridge. A packet to any other address would leave this machine.
addresses_near() { # service port
    local at
    for at in $(addresses "$1" "$2"); do
        [[ $at != "$1:"* && $(ip route get "${at%:*}" 2>/dev/null) == *" dev br-"* ]] && printf '%s ' "$at"
    done
}

reach() { # name from to port open|closed
    # shellcheck disable=SC2046
    same "$1" "$(docker exec "$(container "$2")" bash -c "$connects" - $(addresses "$3" "$4"))" "$5"
}

machine() { # service port open|closed: from this machine itself
    # shellcheck disable=SC2046
    same "$1, from this machine at its container's address" \
        "$(bash -c "$connects" - $(addresses_near "$1" "$2"))" "$3"
}

stranger() { # service port: from a container of the default network
    # shellcheck disable=SC2046
    same "$1, from a container outside of its networks" \
        "$(docker run --rm --entrypoint bash "$nginx_base" -c "$connects" - $(addresses_near "$1" "$2"))" closed
}

mounted() { # service path: yes or no
    local mounts
    mounts=$(docker inspect --format '{{range .Mounts}}{{.Destination}} {{end}}' "$(container "$1")")
    [[ " $mounts" == *" $2 "* ]] && echo yes || echo no
}

status_over() { # socket path: as a worker of nginx
    docker exec --user 101 "$(container nginx)" curl --silent --output /dev/null --write-out '%{http_code}' \
        --unix-socket "/run/doorward/$1" "http://localhost/$2"
}

capabilities() { sed -n 's/^CapEff:\t//p' "/proc/$1/status"; }       # pid

ports_socket() {
    local service id
    stack_up socket && ready "https://$NGX_DOORWARD_PUBLISH/v2/" || return
    for service in nginx:yes doorward:yes registry:no; do
        same "the socket is in ${service%:*}" "$(mounted "${service%:*}" /run/doorward)" "${service#*:}"
    done
    for service in nginx:yes doorward:no registry:no; do
        same "the private key is in ${service%:*}" "$(mounted "${service%:*}" /etc/nginx/tls)" "${service#*:}"
    done
    for service in nginx:no doorward:yes registry:no; do
        same "the users are in ${service%:*}" "$(mounted "${service%:*}" /etc/doorward)" "${service#*:}"
    done
    id=$(container nginx)
    check "the metrics, for root in nginx's container" docker exec "$id" \
        curl --silent --fail --unix-socket /run/doorward/admin.sock http://localhost/metrics
    same "the metrics, for nginx's workers" "$(status_over admin.sock metrics)" 000
    for service in nginx:no doorward:yes registry:no; do
        same "the proxy secret is in ${service%:*}" "$(mounted "${service%:*}" /secret)" "${service#*:}"
    done
    check "the configuration of nginx includes the proxy secret" docker exec "$id" test -s /etc/nginx/conf.d/doorward.secret
    refuses "nginx's workers cannot read it" 'permission denied' \
        docker exec --user 101 "$id" cat /etc/nginx/conf.d/doorward.secret
    refuses "nginx cannot change its configuration" 'read-only' docker exec "$id" touch /etc/nginx/conf.d/doorward.conf
    same "a token, for nginx's workers" "$(status_over public.sock token)" 404
    same "the probes, on the auth socket" "$(status_over doorward.sock readyz)" 404
    same "the auth check, for nginx's workers" "$(status_over doorward.sock auth)" 401
    same "capabilities of doorward" "$(capabilities "$(status_of "$(container doorward)" Pid)")" 0000000000000000
    same "capabilities of nginx's workers" \
        "$(capabilities "$(pgrep -P "$(status_of "$id" Pid)" | head -n 1)")" 0000000000000000
}
