# A remote registry, and a load balancer in front of nginx.

section_places() {
    places_remote
    places_balancer
}

places_remote() {
    local other=doorward-image-test-remote at_other url
    free_port
    at_other=$port
    at_end "docker rm -f -v $other"
    docker run -d --name "$other" --publish "$gateway:$at_other:5000" registry:3 >/dev/null
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port NGX_DOORWARD_UPSTREAM=host.docker.internal:$at_other
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    stack_up remote remote-registry && ready "$url" || return
    same "remote registry: containers of a registry" "$(container registry)" ""
    same "remote registry: with a password" "$(status "${url}_catalog" --user "admin:$(first_password)")" 200
    same "remote registry: without a password" "$(status "${url}_catalog")" 401
    refuses "remote registry: without its address it does not start" NGX_DOORWARD_UPSTREAM \
        without NGX_DOORWARD_UPSTREAM compose config
    stack_down
    unset NGX_DOORWARD_UPSTREAM
    docker rm -f -v "$other" >/dev/null
}

refusal_logged() { logs doorward | grep nobody | grep -q "$1"; }      # address

places_balancer() {
    local url where
    free_port
    # This machine is the balancer. Its address is the gateway of a Docker network.
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port NGX_DOORWARD_REAL_IP_FROM=172.16.0.0/12,192.168.0.0/16,10.0.0.0/8
    url=http://$NGX_DOORWARD_PUBLISH/v2/
    stack_up balancer balancer && ready "$url" || return
    status "$url" --user nobody:wrong --header 'X-Forwarded-For: 198.51.100.7, 203.0.113.9' >/dev/null
    turns "balancer: the log has the address of the client" 5 refusal_logged 203.0.113.9 || logs doorward | indent 5
    where=$(curl --silent --request POST --user "admin:$(first_password)" --dump-header - --output /dev/null \
        "${url}team/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    same "balancer: the Location of an upload" "${where%%/team/*}" /v2
    refuses "balancer: without its networks it does not start" NGX_DOORWARD_REAL_IP_FROM \
        without NGX_DOORWARD_REAL_IP_FROM compose config
    stack_down
    unset NGX_DOORWARD_REAL_IP_FROM

    # X-Forwarded-For of a peer that is not listed is ignored.
    stack_up unlisted http && ready "$url" || return
    status "$url" --user nobody:wrong --header 'X-Forwarded-For: 203.0.113.9' >/dev/null
    wait_until 5 refusal_logged ''
    same "no balancer: forged addresses in the log" \
        "$(logs doorward | grep nobody | grep -c 203.0.113.9)" 0
}

without() { (unset "$1" && "${@:2}"); }     # variable command...
