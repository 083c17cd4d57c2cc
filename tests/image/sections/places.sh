# A registry that is elsewhere, and a load balancer in front.

section_places() {
    places_elsewhere
    places_balancer
}

places_elsewhere() {
    local other=doorward-image-test-elsewhere at_other url
    free_port
    at_other=$port
    at_end "docker rm -f -v $other"
    docker run -d --name "$other" --publish "$gateway:$at_other:5000" registry:3 >/dev/null
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port NGX_DOORWARD_UPSTREAM=host.docker.internal:$at_other
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    stack_up elsewhere elsewhere && ready "$url" || return
    same "elsewhere: containers of a registry" "$(container registry)" ""
    same "elsewhere: the registry answers" "$(status "${url}_catalog" --user "admin:$(first_password)")" 200
    same "elsewhere: and not without a password" "$(status "${url}_catalog")" 401
    refuses "elsewhere: without a registry it does not start" NGX_DOORWARD_UPSTREAM \
        without NGX_DOORWARD_UPSTREAM compose config
    stack_down
    unset NGX_DOORWARD_UPSTREAM
    docker rm -f -v "$other" >/dev/null
}

refusal_told() { logs doorward | grep nobody | grep -q "$1"; }      # address

places_balancer() {
    local url where
    free_port
    # This machine is the balancer, and comes in by the gateway of a network of Docker's.
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port NGX_DOORWARD_REAL_IP_FROM=172.16.0.0/12,192.168.0.0/16,10.0.0.0/8
    url=http://$NGX_DOORWARD_PUBLISH/v2/
    stack_up balancer balancer && ready "$url" || return
    status "$url" --user nobody:wrong --header 'X-Forwarded-For: 198.51.100.7, 203.0.113.9' >/dev/null
    turns "balancer: doorward is told of the client" 5 refusal_told 203.0.113.9 || logs doorward | indent 5
    where=$(curl --silent --request POST --user "admin:$(first_password)" --dump-header - --output /dev/null \
        "${url}team/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    same "balancer: where an upload goes on" "${where%%/team/*}" /v2
    refuses "balancer: without its networks it does not start" NGX_DOORWARD_REAL_IP_FROM \
        without NGX_DOORWARD_REAL_IP_FROM compose config
    stack_down
    unset NGX_DOORWARD_REAL_IP_FROM

    # Whom nobody named is not believed.
    stack_up believed http && ready "$url" || return
    status "$url" --user nobody:wrong --header 'X-Forwarded-For: 203.0.113.9' >/dev/null
    wait_until 5 refusal_told ''
    same "no balancer: clients that are believed, whoever they say they are" \
        "$(logs doorward | grep nobody | grep -c 203.0.113.9)" 0
}

without() { (unset "$1" && "${@:2}"); }     # variable command...
