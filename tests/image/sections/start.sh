# nginx must not start without protection.

section_start() {
    images_make
    start_image
    start_compose
}

# ---- the image of nginx/Dockerfile

start_image() {
    local upstream=(--env NGX_DOORWARD_UPSTREAM=127.0.0.1:5000) auth=(--env NGX_DOORWARD_AUTH=127.0.0.1:8000)
    local plain=(--env NGX_DOORWARD_PLAIN_HTTP=on) small=(--read-only --tmpfs /var/cache/nginx --tmpfs /run)
    local all=("${upstream[@]}" "${auth[@]}" "${plain[@]}") conf=/etc/nginx/conf.d
    starts "image: valid settings" "${all[@]}"
    starts "image: a read-only root file system with a tmpfs" "${all[@]}" "${small[@]}" --tmpfs $conf
    start_refused "image: conf.d cannot be written" 'put a tmpfs there: --tmpfs /etc/nginx/conf\.d' "${all[@]}" "${small[@]}"
    start_refused "image: no certificate" '/etc/nginx/tls/tls\.crt does not exist' "${upstream[@]}" "${auth[@]}"
    start_refused "image: AUTH is not set" 'auth: missing' "${upstream[@]}" "${plain[@]}"
    start_refused "image: UPSTREAM is not set" 'upstream: missing' "${auth[@]}" "${plain[@]}"
    start_refused "image: a setting is misspelt" 'UPSTREEM: unknown variable' "${all[@]}" --env NGX_DOORWARD_UPSTREEM=a:1

    echo 'server { listen 80; return 200; }' >"$dir/other.conf"
    start_refused "image: there is a default.conf" 'remove /etc/nginx/conf\.d/default\.conf' \
        "${all[@]}" --volume "$dir/other.conf:$conf/default.conf:ro"
    starts "image: a server of your own beside it" "${all[@]}" --volume "$dir/other.conf:$conf/zz-other.conf:ro"
    printf 'events {}\nhttp { %s include conf.d/zz-*.conf; }\n' "$(temp_paths)" >"$dir/nginx.conf"
    start_refused "image: nginx.conf does not include the file" 'nginx does not read .*/doorward\.conf' \
        "${all[@]}" --volume "$dir/nginx.conf:/etc/nginx/nginx.conf:ro" --volume "$dir/other.conf:$conf/zz-other.conf:ro"
    start_refused "image: nginx without the entrypoint" 'the protected configuration was not written' \
        "${all[@]}" --entrypoint nginx
}

# Folders that exist in the image, for a build of nginx with others.
temp_paths() { local kind; for kind in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path /tmp/%s; ' $kind $kind; done; }

# Runs the container in the foreground. If it starts although it must not, it is stopped after 20 s.
nginx_run() { # options...
    timeout --signal KILL 20 docker run --rm --name doorward-image-test-start --network none "$@" "$nginx_image"
}
at_end "docker rm -f doorward-image-test-start"

start_refused() { refuses "$1" "$2" nginx_run "${@:3}"; }       # name pattern options...

returns_503() { # container
    [[ $(docker exec "$1" curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/v2/ 2>/dev/null) == 503 ]]
}

starts() { # name options...
    local what=$1 id
    shift
    id=$(docker run -d --network none "$@" "$nginx_image" 2>"$dir/out") ||
        { failed "$what"; indent <"$dir/out"; return; }
    # nginx listens, and the auth check fails because doorward does not run.
    turns "$what: it starts, and returns 503 without doorward" 15 returns_503 "$id" ||
        docker logs "$id" 2>&1 | indent
    docker rm -f "$id" >/dev/null
}

# ---- the official image, with the configuration of the service proxy-config

start_compose() {
    local url right
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    stack_down
    fresh
    project=doorward-image-test-start files=()
    compose up -d --no-deps nginx >"$dir/up.log" 2>&1
    same "compose: nginx alone, before its configuration exists" "$(status "$url")" 000
    same "compose: its configuration" "$(compose exec -T nginx ls -A /etc/nginx/conf.d)" ""
    compose down >/dev/null 2>&1

    export NGX_DOORWARD_SERVER_NAME='a;b'
    refuses "compose: a wrong option" 'proxy-config' compose up -d
    refuses "compose: the log of proxy-config has the reason" 'NGX_DOORWARD_SERVER_NAME' eval 'logs proxy-config; false'
    same "compose: nginx answers" "$(status "$url")" 000
    unset NGX_DOORWARD_SERVER_NAME
    check "compose: the option is corrected" compose up -d
    ready "$url" || return
    same "compose: files of its configuration" "$(compose exec -T nginx ls /etc/nginx/conf.d | xargs)" \
        "doorward.conf doorward.secret"

    # nginx runs with the earlier configuration, and the next `up` has another one.
    export NGX_DOORWARD_SERVER_NAME=registry.example.com
    check "compose: an option is changed" compose up -d
    right=admin:$(first_password)
    turns "compose: the changed option applies" 20 answers "https://registry.example.com:$port/v2/" 200 --user "$right" \
        --resolve "registry.example.com:$port:127.0.0.1"
    same "compose: another name" "$(status "$url" --user "$right")" 000
    unset NGX_DOORWARD_SERVER_NAME
}
