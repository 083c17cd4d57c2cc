# Starts nginx, a doorward that signs tokens, and a registry, for tests/clients/run and tests/conformance/run. Sourced after
# benches/common.sh.
#
# ann can pull and push team/**, bob can pull it, dora can do everything, and anyone can pull public/**.

service=registry.bench
# If it is empty, doorward runs without a policy.
policy=(--policy "$dir/policy.toml")
port_nginx='' port_doorward='' port_public='' port_admin='' port_registry=''
pid_nginx='' pid_doorward='' pid_registry=''

settings() {
    local name
    for name in nginx doorward public admin registry; do
        free_port
        printf -v "port_$name" %s "$port"
    done
    host=127.0.0.1:$port_nginx realm=http://127.0.0.1:$port_nginx/token
    touch "$dir/users"
    for name in ann bob dora; do
        htpasswd -bB -C 10 "$dir/users" "$name" "$name-1" 2>/dev/null || fail "htpasswd failed"
    done
    cat >"$dir/policy.toml" <<EOF2
[[grant]]
users = ["ann"]
repositories = ["team/**"]
actions = ["pull", "push"]
[[grant]]
users = ["bob"]
repositories = ["team/**"]
actions = ["pull"]
[[grant]]
users = ["dora"]
actions = ["pull", "push", "delete", "catalog"]
[[grant]]
who = "anyone"
repositories = ["public/**"]
actions = ["pull"]
EOF2
    nginx_files
}

signing_keys() { # creates new ones
    rm -rf -- "$dir/token" && mkdir "$dir/token" || fail "cannot write to $dir"
    "$doorward" signing-key init --signing-keys "$dir/token/keys.pem" --service $service --issuer doorward --realm "$realm" \
        >/dev/null || fail "cannot create signing keys"
}

doorward_starts() { # mode expires
    local flags=()
    [[ $1 == basic ]] || flags=(--token-signing-keys "$dir/token/keys.pem" --token-service $service --token-realm "$realm"
        --token-lifetime "$2" --token-challenge bearer)
    start doorward "$doorward" serve --listen "127.0.0.1:$port_doorward" --public-listen "127.0.0.1:$port_public" \
        --admin-listen "127.0.0.1:$port_admin" \
        --htpasswd "$dir/users" "${policy[@]}" --throttle-user-failures 10000 \
        --throttle-network-failures 10000 "${flags[@]}"
    pid_doorward=$pid
    wait_for doorward "$port_admin" /readyz
}
registry_starts() { # program mode
    cat >"$dir/registry.yml" <<EOF2
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port_registry", secret: of-a-bench, relativeurls: true}
EOF2
    [[ $2 != registry ]] || cat "$dir/token/registry-auth.yml" >>"$dir/registry.yml"
    start registry env -u REGISTRY OTEL_TRACES_EXPORTER=none "$1" serve "$dir/registry.yml"
    pid_registry=$pid
    wait_for_port registry "$port_registry"
}
nginx_starts() { # mode upstream-port
    local tokens=$1
    [[ $tokens != basic ]] || tokens=off
    env -u DOORWARD_CONFIG "$doorward" proxy-config nginx --output "$dir/doorward" --kind registry --tokens "$tokens" \
        --listen "127.0.0.1:$port_nginx" --plain-http on --upstream "127.0.0.1:$2" --auth "127.0.0.1:$port_doorward" \
        --public "127.0.0.1:$port_public" --access-log "$dir/access.log" || fail "nginx cannot be configured"
    say "include doorward/doorward.conf;" >"$dir/http.conf"
    start nginx nginx -p "$dir/" -c "$dir/nginx.conf"
    pid_nginx=$pid
    wait_for_port nginx "$port_nginx"
}

# Stops what runs and starts everything with empty storage.
world() { # registry-program basic|mixed|registry [token lifetime]
    no_world
    rm -rf -- "$dir/storage"
    : >"$dir/access.log"
    [[ $2 == basic ]] || signing_keys
    doorward_starts "$2" "${3:-15m}"
    registry_starts "$1" "$2"
    nginx_starts "$2" "$port_registry"
}
no_world() {
    local one
    for one in "$pid_nginx" "$pid_registry" "$pid_doorward"; do [[ -z $one ]] || stop "$one"; done
    pid_nginx='' pid_registry='' pid_doorward=''
}
