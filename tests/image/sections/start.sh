# nginx must not start without protection.

section_start() {
    local image n=$root/nginx
    local upstream=(--env NGX_DOORWARD_UPSTREAM=127.0.0.1:5000) auth=(--env NGX_DOORWARD_AUTH=127.0.0.1:8000)
    local plain=(--env NGX_DOORWARD_PLAIN_HTTP=on) small=(--read-only --tmpfs /var/cache/nginx --tmpfs /run)
    local all=("${upstream[@]}" "${auth[@]}" "${plain[@]}")
    images_make
    # The image of nginx/Dockerfile, and the official image with mounted files, as in compose.yaml.
    official=(--volume "$n/templates:/etc/nginx/templates:ro" --volume "$n/snippets:/etc/nginx/doorward:ro"
        --volume "$n/entrypoint/18-doorward.envsh:/docker-entrypoint.d/18-doorward.envsh:ro"
        --volume "$n/entrypoint/99-doorward-check.sh:/docker-entrypoint.d/99-doorward-check.sh:ro"
        --env NGX_DOORWARD_KIND=registry nginx:stable)
    for image in "$nginx_image" official; do
        starts "$image: valid settings" "$image" "${all[@]}"
        starts "$image: a read-only root file system with a tmpfs" "$image" "${all[@]}" "${small[@]}" \
            --tmpfs /etc/nginx/conf.d
        start_refused "$image: conf.d cannot be written" "$image" 'conf\.d' "${all[@]}" "${small[@]}"
        start_refused "$image: no certificate" "$image" 'tls' "${upstream[@]}" "${auth[@]}"
        start_refused "$image: AUTH is not set" "$image" NGX_DOORWARD_AUTH "${upstream[@]}" "${plain[@]}"
        start_refused "$image: UPSTREAM is not set" "$image" NGX_DOORWARD_UPSTREAM "${auth[@]}" "${plain[@]}"
        start_refused "$image: a setting is misspelt" "$image" UPSTREEM "${all[@]}" --env NGX_DOORWARD_UPSTREEM=a:1
    done
}

image_of() { # image: sets $image, with its options
    image=("$1")
    [[ $1 != official ]] || image=("${official[@]}")
}

# Runs the container in the foreground. If it starts although it must not, it is stopped after 20 s.
nginx_run() { # image options...
    local image
    image_of "$1"
    timeout --signal KILL 20 docker run --rm --name doorward-image-test-start --network none "${@:2}" "${image[@]}"
}
at_end "docker rm -f doorward-image-test-start"

start_refused() { refuses "$1" "$3" nginx_run "$2" "${@:4}"; }       # name image pattern options...

returns_503() { # container
    [[ $(docker exec "$1" curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/v2/ 2>/dev/null) == 503 ]]
}

starts() { # name image options...
    local what=$1 image id
    image_of "$2"
    shift 2
    id=$(docker run -d --network none "$@" "${image[@]}" 2>"$dir/out") ||
        { failed "$what"; indent <"$dir/out"; return; }
    # nginx listens, and the auth check fails because doorward does not run.
    turns "$what: it starts, and returns 503 without doorward" 15 returns_503 "$id" ||
        docker logs "$id" 2>&1 | indent
    docker rm -f "$id" >/dev/null
}
