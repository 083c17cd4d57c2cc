# docker, podman and skopeo with the registry of compose.yaml: over TLS with the created certificate, and over http.

section_clients() {
    clients_https
    stack_down
    clients_http
}

name=doorward-image-test-layers
refused='unauthorized|no basic auth|denied|authentication'     # the messages of the clients

as_docker() { docker "$@"; }
podman_at=(--root "$dir/podman" --runroot "$dir/podman-run" --tmpdir "$dir/podman-tmp")
as_podman() { podman "${podman_at[@]}" "$@"; }
export REGISTRY_AUTH_FILE=$dir/auth.json        # podman and skopeo require this file
echo '{}' >"$REGISTRY_AUTH_FILE"
at_end "podman ${podman_at[*]} rmi --all --force; podman ${podman_at[*]} system reset --force"

layered_image() {
    docker image inspect "$name" >/dev/null 2>&1 && return
    layered "$name" || { failed "the image of 20 layers cannot be built"; return 1; }
    at_end "docker rmi $name"
}

# ---- TLS

clients_https() {
    local certs
    layered_image || return
    free_port
    # Not a loopback address: docker does not verify certificates there.
    at=$gateway:$port url=https://$gateway:$port/v2/ tls=()
    export NGX_DOORWARD_PUBLISH=$at NGX_DOORWARD_TLS_NAME=$gateway
    stack_up https && ready "$url" || return
    unset NGX_DOORWARD_TLS_NAME
    password=$(first_password)
    say "-- TLS, $at"
    refuses "docker, before the certificate is trusted" 'x509|certificate' docker login -u admin -p "$password" "$at"
    certs=/etc/docker/certs.d/$at
    [[ ! -e $certs ]] || fail "$certs is there already"
    at_end "rm -rf '$certs'; rmdir /etc/docker/certs.d"
    mkdir -p "$certs" && cp "$copy/tls/tls.crt" "$certs/ca.crt"
    with_docker
    with_podman
    with_skopeo
    large_layer
    parallel_pulls
    rm -rf "$certs"
}

clients_http() {
    layered_image || return
    free_port
    at=127.0.0.1:$port url=http://127.0.0.1:$port/v2/ tls=(--tls-verify=false)
    export NGX_DOORWARD_PUBLISH=$at
    stack_up http http && ready "$url" || return
    password=$(first_password)
    say "-- http, $at"
    with_docker
    with_podman
    with_skopeo
}

login() { # client password
    "as_$1" login "${tls_of[@]}" --username admin --password-stdin "$at" <<<"$2"
}

with_docker() { with_client docker; }
with_podman() { with_client podman; }

with_client() { # docker or podman
    local client=$1 tls_of=() image=$at/team/$1 before took_push
    [[ $client == docker ]] || tls_of=(${tls[@]+"${tls[@]}"})
    if [[ $client == podman ]]; then
        # podman does not have the image that docker built.
        quietly as_podman pull "${tls_of[@]}" --creds "admin:$password" "$at/team/docker" ||
            { failed "podman: pull of what docker pushed"; indent <"$dir/out"; return; }
        as_podman tag "$at/team/docker" "$image"
    else
        docker tag "$name" "$image"
    fi
    before=$("as_$client" image inspect "$image" --format '{{.Id}}')
    "as_$client" logout "$at" >/dev/null 2>&1
    refuses "$client: push without a login" "$refused" "as_$client" push "${tls_of[@]}" "$image"
    refuses "$client: pull without a login" "$refused" "as_$client" pull "${tls_of[@]}" "$at/team/none"
    refuses "$client: login with a wrong password" 'unauthorized|invalid username' login "$client" wrong
    check "$client: login" login "$client" "$password"
    timed quietly "as_$client" push "${tls_of[@]}" "$image" ||
        { failed "$client: push"; indent <"$dir/out"; return; }
    took_push=$took
    # A client pulls no layer that another name still uses.
    case $client in
        podman) as_podman rmi --all --force >/dev/null 2>&1 ;;
        docker) docker rmi "$image" "$name" >/dev/null ;;
    esac
    timed quietly "as_$client" pull "${tls_of[@]}" "$image" ||
        { failed "$client: pull"; indent <"$dir/out"; return; }
    same "$client: push ($took_push s) and pull ($took s) of 20 layers, the image" \
        "$("as_$client" image inspect "$image" --format '{{.Id}}' | sed 's/^sha256://')" "${before#sha256:}"
    "as_$client" logout "$at" >/dev/null 2>&1
    refuses "$client: pull after a logout" "$refused" "as_$client" pull "${tls_of[@]}" "$at/team/none"
    [[ $client == podman ]] || docker tag "$image" "$name"
    "as_$client" rmi "$image" >/dev/null 2>&1
}

with_skopeo() {
    local from=() to=()
    ((${#tls[@]} == 0)) || from=(--src-tls-verify=false) to=(--dest-tls-verify=false)
    rm -rf "$dir/layout"
    refuses "skopeo: login with a wrong password" 'unauthorized|invalid username' \
        skopeo login ${tls[@]+"${tls[@]}"} --username admin --password wrong "$at"
    refuses "skopeo: pull without a login" "$refused" \
        skopeo copy "${from[@]}" "docker://$at/team/docker" "dir:$dir/layout"
    check "skopeo: login" \
        skopeo login ${tls[@]+"${tls[@]}"} --username admin --password "$password" "$at"
    check "skopeo: pull of 20 layers" skopeo copy "${from[@]}" "docker://$at/team/docker" "dir:$dir/layout"
    check "skopeo: push of 20 layers" skopeo copy "${to[@]}" "dir:$dir/layout" "docker://$at/team/skopeo"
    same "skopeo: layers of what was pushed" \
        "$(skopeo inspect ${tls[@]+"${tls[@]}"} "docker://$at/team/skopeo" --format '{{len .Layers}}')" 20
    skopeo logout "$at" >/dev/null 2>&1
}

# ---- size and number

large_layer() {
    local big=$dir/big mib=2048 digest free
    free=$(df --output=avail -m "$dir" | tail -n 1)
    ((free > 8 * mib)) || { note "only $free MiB are free: the large layer has 256 MiB"; mib=256; }
    head -c "$((mib << 20))" /dev/urandom >"$big"
    digest=sha256:$(sha256sum "$big" | cut -d ' ' -f 1)
    upload chunked "$big" "$digest" "$mib"
    upload single "$big" "$digest" "$mib"
    # nginx must not have stored the layer.
    at_most "nginx stores of it" "$(docker exec "$(container nginx)" du -sm /var/cache/nginx | cut -f 1)" 1 MiB
    timed docker_large "$big" && ok "docker: push and pull of an image with a layer of $mib MiB: $took s" ||
        { failed "docker: push and pull of an image with a layer of $mib MiB"; indent <"$dir/out"; }
    rm -f "$big"
}

request() { curl --silent --show-error --insecure --user "admin:$password" "$@"; }

next_location() { # options of curl...: prints the URL of the next request of an upload
    local where
    where=$(request --dump-header - --output /dev/null "$@" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    [[ $where != /* ]] || where=https://$at$where
    printf '%s\n' "$where"
}

upload() { # chunked|single file digest MiB
    local where code repo=team/$1 begin back bytes=(--header 'Content-Type: application/octet-stream')
    local print_status=(--output /dev/null --write-out '%{http_code}')
    where=$(next_location --request POST "$url$repo/blobs/uploads/")
    begin=$(now)
    if [[ $1 == chunked ]]; then
        # From a pipe, so that curl sends no Content-Length.
        where=$(cat "$2" | next_location --request PATCH --upload-file - "${bytes[@]}" "$where")
        code=$(request --request PUT "${print_status[@]}" --header 'Content-Length: 0' "$where&digest=$3")
    else
        code=$(request --upload-file "$2" "${bytes[@]}" "${print_status[@]}" "$where&digest=$3")
    fi
    same "$1 upload of $4 MiB ($(since "$begin") s)" "$code" 201
    begin=$(now)
    back=sha256:$(request "$url$repo/blobs/$3" | sha256sum | cut -d ' ' -f 1)
    same "download ($(since "$begin") s)" "$back" "$3"
}

docker_large() { # file
    local image=$at/team/large
    tar -C "$(dirname "$1")" -c "$(basename "$1")" | docker import - "$image" >/dev/null &&
        login docker "$password" >/dev/null 2>&1 && quietly docker push "$image" &&
        quietly docker rmi "$image" && quietly docker pull "$image" && quietly docker rmi "$image"
}

parallel_pulls() {
    local i pids=() bad=0
    # With an empty cache, as after a restart.
    docker restart -t 5 "$(container doorward)" >/dev/null && ready "$url"
    begin=$(now)
    for i in {1..10}; do
        skopeo copy --src-creds "admin:$password" "docker://$at/team/docker" "dir:$dir/parallel.$i" \
            >"$dir/parallel.$i.log" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || bad=$((bad + 1)); done
    same "ten parallel pulls of 20 layers ($(since "$begin") s), of them failed" "$bad" 0
    ((bad == 0)) || cat "$dir"/parallel.*.log | sort | uniq -c | indent 5
    rm -rf "$dir"/parallel.*
}
