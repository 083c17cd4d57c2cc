# nginx must not start when it would guard nothing.

section_start() {
    local image n=$root/nginx
    local backend=(--env NGX_DOORWARD_UPSTREAM=127.0.0.1:5000) auth=(--env NGX_DOORWARD_AUTH=127.0.0.1:8000)
    local plain=(--env NGX_DOORWARD_PLAIN_HTTP=on) small=(--read-only --tmpfs /var/cache/nginx --tmpfs /run)
    local all=("${backend[@]}" "${auth[@]}" "${plain[@]}")
    images_make
    # nginx's own image, and the official one with our files mounted, as compose.yaml has it.
    official=(--volume "$n/templates:/etc/nginx/templates:ro" --volume "$n/snippets:/etc/nginx/doorward:ro"
        --volume "$n/entrypoint/18-doorward.envsh:/docker-entrypoint.d/18-doorward.envsh:ro"
        --volume "$n/entrypoint/99-doorward-check.sh:/docker-entrypoint.d/99-doorward-check.sh:ro"
        --env NGX_DOORWARD_KIND=registry nginx:stable)
    for image in "$nginx_image" official; do
        starts "$image: all is there" "$image" "${all[@]}"
        starts "$image: a read-only root file system with a tmpfs" "$image" "${all[@]}" "${small[@]}" \
            --tmpfs /etc/nginx/conf.d
        start_refused "$image: conf.d can't be written" "$image" 'conf\.d' "${all[@]}" "${small[@]}"
        start_refused "$image: no TLS pair" "$image" 'tls' "${backend[@]}" "${auth[@]}"
        start_refused "$image: AUTH is not set" "$image" NGX_DOORWARD_AUTH "${backend[@]}" "${plain[@]}"
        start_refused "$image: BACKEND is not set" "$image" NGX_DOORWARD_UPSTREAM "${auth[@]}" "${plain[@]}"
        start_refused "$image: a setting is misspelt" "$image" BACKENT "${all[@]}" --env NGX_DOORWARD_BACKENT=a:1
    done
}

image_of() { # image: sets $image, with what it needs
    image=("$1")
    [[ $1 != official ]] || image=("${official[@]}")
}

# In the foreground; one that starts all the same is ended after 20 s.
nginx_run() { # image options...
    local image
    image_of "$1"
    timeout --signal KILL 20 docker run --rm --name doorward-image-test-start --network none "${@:2}" "${image[@]}"
}
at_end "docker rm -f doorward-image-test-start"

start_refused() { refuses "$1" "$3" nginx_run "$2" "${@:4}"; }       # what image pattern options...

says_503() { # container
    [[ $(docker exec "$1" curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/v2/ 2>/dev/null) == 503 ]]
}

starts() { # what image options...
    local what=$1 image id
    image_of "$2"
    shift 2
    id=$(docker run -d --network none "$@" "${image[@]}" 2>"$dir/out") ||
        { failed "$what"; indent <"$dir/out"; return; }
    # It listens, and asks: there is nobody to answer.
    turns "$what: it starts, and answers 503 while there is nobody to ask" 15 says_503 "$id" ||
        docker logs "$id" 2>&1 | indent
    docker rm -f "$id" >/dev/null
}
