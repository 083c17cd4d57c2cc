# `docker build`, the content of the image, and `docker compose up` in a fresh clone.

section_build() {
    build_times && build_contents
    build_up
}

build() { docker build --tag "$DOORWARD_IMAGE" "$@" >"$dir/build.log" 2>&1; }

build_times() {
    timed build --no-cache "$root" || { failed "docker build"; indent 30 <"$dir/build.log"; return 1; }
    ok "docker build, nothing cached: $took s"
    timed build "$root" && ok "docker build, nothing changed: $took s"
    fresh
    echo '// changed' >>"$copy/src/main.rs"
    timed build "$copy" && ok "docker build, a line of src changed: $took s"
    check "the layer of the dependencies came from the cache" \
        test "$(grep -c 'Using cache\|CACHED' "$dir/build.log")" -ge 4
    build "$root"
}

inspect() { docker image inspect "$DOORWARD_IMAGE" --format "$1"; }      # template

build_contents() {
    local image=$DOORWARD_IMAGE id files version
    at_most "size of the image" "$(inspect '{{.Size}}' | awk '{ printf "%.1f", $1 / 1e6 }')" 12 MB
    same "user" "$(inspect '{{.Config.User}}')" 65532:65532
    same "health check" "$(inspect '{{.Config.Healthcheck.Test}}')" "[CMD /doorward health]"
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
    same "version of the label" "$(inspect '{{index .Config.Labels "org.opencontainers.image.version"}}')" "$version"
    note "labels: $(inspect '{{range $k, $v := .Config.Labels}}{{$k}} {{end}}' | sed 's/org.opencontainers.image.//g')"
    same "program" "$(docker run --rm --read-only --cap-drop ALL --network none "$image" --version)" "doorward $version"
    refuses "there is no shell" 'not found|no such file' docker run --rm --entrypoint sh "$image"

    id=$(docker create "$image")
    docker export "$id" | tar -tv >"$dir/contents"
    docker rm "$id" >/dev/null
    # Without the files that Docker adds to every container.
    files=$(awk '$1 ~ /^-/ { print $6 }' "$dir/contents" |
        grep -vxE '\.dockerenv|dev/console|etc/(hostname|hosts|resolv\.conf)' | sort | tr '\n' ' ')
    same "files" "${files% }" \
        "doorward etc/ssl/certs/ca-certificates.crt licenses/LICENSE-APACHE licenses/LICENSE-MIT"
    check "/etc/doorward exists" grep -q ' etc/doorward/$' "$dir/contents"
    check "/run/doorward belongs to the user" grep -q '^d.* 65532/65532 .* run/doorward/$' "$dir/contents"
}

build_up() {
    local begin password at
    free_port
    at=127.0.0.1:$port
    export NGX_DOORWARD_PUBLISH=$at
    begin=$(now)
    stack_up build || return
    wait_until 60 logged_in ||
        { failed "docker login does not work 60 s after docker compose up"; logs | indent 30; return; }
    ok "docker compose up on a fresh clone: docker login works after $(since "$begin") s"
    password=$(first_password)

    check "only the owner and the service can read the htpasswd file" \
        test "$(stat -c '%a %g' "$copy/access/htpasswd")" = "640 65532"
    (cd "$copy" && stat -c '        %n %A %u:%g' access/htpasswd tls/tls.crt tls/tls.key)
    mkdir "$dir/before" && cp -r "$copy/access" "$copy/tls" "$dir/before/"
    compose up -d >"$dir/up.log" 2>&1
    check "a second docker compose up changes nothing" eval \
        'diff -r "$dir/before/access" "$copy/access" && diff -r "$dir/before/tls" "$copy/tls"'
    check "the user is still admitted" answers "https://$at/v2/" 200 --user "admin:$password"

    password=$(compose run --rm -T users add bob --generate 2>/dev/null | grep -oE '[a-z2-9]{20}' | tail -n 1)
    turns "docker compose run users add bob: admitted" 5 answers "https://$at/v2/" 200 --user "bob:$password"
    build_healthy doorward nginx registry
}

logged_in() {
    local password
    password=$(first_password)
    [[ -n $password ]] &&
        quietly docker login --username admin --password-stdin "$NGX_DOORWARD_PUBLISH" <<<"$password"
}

is_healthy() { [[ $(status_of "$(container "$1")" Health.Status) == healthy ]]; }
build_healthy() {
    local service
    for service; do
        turns "$service is healthy" 60 is_healthy "$service" ||
            docker inspect --format '{{json .State.Health.Log}}' "$(container "$service")" | indent 3
    done
}
