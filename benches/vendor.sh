#!/usr/bin/env bash
# A vendor's customers and the clients that they use, through nginx to a real registry, with examples/vendor-api.toml and
# its policy as they are: who may pull which release, and what the clients say where they may not. nginx plays the vendor's
# API too. It ends with 1 if an outcome is not the expected one.
#
# ann has a licence for suite-2025 and tools-7, and had one for suite-2023; bob has one for suite-2024.
#
#   CLIENTS="curl skopeo podman docker"   those to use; one that is not here, or can't run, is left out and named
#   REGISTRY=FILE                         the registry, instead of docker-registry

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need_nginx
need curl "install it: apt-get install curl"
need skopeo "install it: apt-get install skopeo"
registry=${REGISTRY:-docker-registry}
need "$registry" "install it: apt-get install docker-registry"

ann=ann@example.org:ann-3f786850 bob=bob@example.org:bob-89e6c98d
releases=(suite-2023 suite-2024 suite-2025 tools-7)

# ---- what is asked

can() { # client
    case $1 in
        curl | skopeo) return 0 ;;
        podman) command -v podman >/dev/null && pod info >/dev/null 2>&1 ;;
        docker) command -v docker >/dev/null && docker version >/dev/null 2>&1 ;;
    esac
}
pod() { podman --root "$dir/pod" --runroot "$dir/podrun" --tmpdir "$dir/podtmp" --storage-driver vfs "$@"; }
dock() { docker --config "$dir/docker" "$@"; }
sko() { skopeo --insecure-policy "$@"; }
web() { curl -sS -i -u "$creds" "$@" | tr -d '\r'; }     # the status decides, see attempt

# Each action by each client, as $creds. docker has only the log-in that it keeps: the last one's, if that was not refused.
login_curl() { web "http://$host/v2/"; }
login_skopeo() { sko login --tls-verify=false --authfile "$dir/auth" -u "${creds%%:*}" -p "${creds#*:}" "$host"; }
login_podman() { pod login --tls-verify=false --authfile "$dir/auth" -u "${creds%%:*}" -p "${creds#*:}" "$host"; }
login_docker() { rm -rf -- "$dir/docker"; dock login -u "${creds%%:*}" --password-stdin "$host" <<<"${creds#*:}"; }
pull_curl() { web "http://$host/v2/$1/manifests/one" -H 'Accept: application/vnd.oci.image.manifest.v1+json'; }
pull_skopeo() { sko inspect --tls-verify=false --creds "$creds" "docker://$host/$1:one" --format '{{.Digest}}'; }
pull_podman() { pod rmi -f "$host/$1:one" >/dev/null 2>&1; pod pull -q --tls-verify=false --creds "$creds" "$host/$1:one"; }
pull_docker() { login_docker >/dev/null && docker rmi "$host/$1:one" >/dev/null 2>&1; dock pull -q "$host/$1:one"; }
push_curl() { web -X POST "http://$host/v2/$1/blobs/uploads/"; }
push_skopeo() { sko copy --dest-tls-verify=false --dest-creds "$creds" "oci:$dir/image:one" "docker://$host/$1:new"; }
push_podman() { pod push --tls-verify=false --creds "$creds" mine "$host/$1:new"; }
push_docker() { login_docker >/dev/null && docker tag "$mine" "$host/$1:new" && dock push "$host/$1:new"; }

# ---- the table

wrong=0 tried=0
said() { # what a client printed last, in one line and without what differs from run to run
    local text pattern
    for pattern in 'denied|unauthori|forbidden|invalid user' 'error|fatal' .; do
        text=$(grep -iE "$pattern" <<<"$1" | tail -n 1)
        [[ -z ${text// /} ]] || break
    done
    sed -E "s/^[[:space:]]*(time=[^ ]* level=fatal msg=)?//; s/$host/REGISTRY/g; s/\{\"schemaVersion.*/a manifest/" <<<"$text" |
        sed -E 's/[0-9a-f]{64}/<digest>/g' | cut -c 1-200
}
attempt() { # allowed|refused who credentials client action arguments...
    local expected=$1 who=$2 client=$4 action=$5 outcome=refused text status
    creds=$3
    shift 5
    text=$("${action}_$client" "$@" 2>&1 </dev/null)
    status=$?
    [[ $client != curl ]] || { [[ $text == 'HTTP/1.1 2'* ]]; status=$?; }
    ((status != 0)) || outcome=allowed
    ((tried++))
    local mark=
    [[ $outcome == "$expected" ]] || { mark=" <-- should be $expected"; ((wrong++)); }
    printf '%-24s %-26s %-7s %-8s %s%s\n' "$who" "$action $*" "$client" "$outcome" "$(said "$text")" "$mark"
}
for_each_client() { # expected who credentials action arguments...
    local client
    for client in "${clients[@]}"; do attempt "${@:1:3}" "$client" "${@:4}"; done
}

# ---- what is there

free_port; port_nginx=$port
free_port; port_api=$port
free_port; port_doorward=$port
free_port; port_admin=$port
free_port; port_registry=$port
host=127.0.0.1:$port_nginx mine=vendor.mine:$port_nginx

sed "s|https://api.example.com|http://127.0.0.1:$port_api|; s|/etc/doorward|$dir|" "$root/examples/vendor-api.toml" >"$dir/vendor.toml"
cp "$root/examples/vendor-policy.toml" "$dir/"
cat >"$dir/registry.yml" <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/storage}}
http: {addr: "127.0.0.1:$port_registry", secret: of-a-bench}
EOF
nginx_files
cat >"$dir/http.conf" <<EOF
include doorward/doorward-http.conf;
upstream doorward { server 127.0.0.1:$port_doorward; keepalive 64; }
upstream doorward_upstream { server 127.0.0.1:$port_registry; keepalive 64; }
server { listen 127.0.0.1:$port_nginx; include doorward/doorward-registry.conf; }

map \$http_authorization \$account {
    "ApiKey ${ann#*:}" '{"email": "${ann%%:*}", "customer": "C-17", "licences": [
        {"product": "suite", "release": "suite-2023", "expired": true},
        {"product": "suite", "release": "suite-2025", "expired": false},
        {"product": "tools", "release": "tools-7", "expired": false}]}';
    "ApiKey ${bob#*:}" '{"email": "${bob%%:*}", "customer": "C-18", "licences": [
        {"product": "suite", "release": "suite-2024", "expired": false}]}';
    default "";
}
server {
    listen 127.0.0.1:$port_api;
    default_type application/json;
    location = /v1/account {
        if (\$account = "") { return 401; }
        return 200 \$account;
    }
}
EOF
start registry env -u REGISTRY "$registry" serve "$dir/registry.yml"
start nginx nginx -p "$dir/" -c "$dir/nginx.conf"
start doorward "$doorward" serve --listen "127.0.0.1:$port_doorward" --admin-listen "127.0.0.1:$port_admin" --config "$dir/vendor.toml"
wait_for doorward "$port_admin" /readyz
wait_for registry "$port_registry" /v2/

blob() { # file: puts it where an OCI layout has it, and sets $digest
    digest=$(sha256sum "$1" | cut -c 1-64) && cp "$1" "$dir/image/blobs/sha256/$digest"
}
mkdir -p "$dir/image/blobs/sha256"
media=application/vnd.oci.image
printf '%s\n' "$port_nginx" >"$dir/release"
{ tar -C "$dir" -cf "$dir/layer" release && blob "$dir/layer"; } || fail "cannot make an image"
layer=$digest
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" >"$dir/config"
blob "$dir/config"
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
    $media $media "$digest" "$(stat -c %s "$dir/config")" $media "$layer" "$(stat -c %s "$dir/layer")" >"$dir/manifest"
blob "$dir/manifest"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"one"}}]}' \
    $media "$digest" "$(stat -c %s "$dir/manifest")" >"$dir/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$dir/image/oci-layout"
# The vendor fills the registry past nginx.
for release in "${releases[@]}"; do
    sko copy -q --dest-tls-verify=false "oci:$dir/image:one" "docker://127.0.0.1:$port_registry/releases/$release:one" ||
        fail "cannot publish $release"
done

clients=()
for client in ${CLIENTS:-curl skopeo podman docker}; do
    if can "$client"; then clients+=("$client"); else say "left out: $client, which is not here or can't run"; fi
done
uses() { [[ " ${clients[*]} " == *" $1 "* ]]; }
remove_images() {
    docker images --format '{{.Repository}}:{{.Tag}}' | grep -E "^($host/|$mine\$)" | xargs -r docker rmi -f >/dev/null 2>&1
}
uses docker && { trap 'remove_images; clean_up' EXIT; docker import "$dir/layer" "$mine" >/dev/null || fail "docker takes no image"; }
uses podman && { pod import -q "$dir/layer" mine >/dev/null || fail "podman takes no image"; }

# ---- the table itself

printf '%-24s %-26s %-7s %-8s %s\n' who action client outcome "what it said"
for_each_client allowed ann "$ann" login
for_each_client allowed bob "$bob" login
declare -A licensed=([ann]=' suite-2025 tools-7 ' [bob]=' suite-2024 ')
for who in ann bob; do
    for release in "${releases[@]}"; do
        expected=refused
        [[ ${licensed[$who]} != *" $release "* ]] || expected=allowed
        for_each_client $expected "$who" "${!who}" pull "releases/$release"
    done
    for_each_client refused "$who" "${!who}" push releases/suite-2025
    for_each_client refused "$who" "${!who}" push releases/mine
done
declare -A strange=(["ann, a wrong token"]=${ann%%:*}:ann-00000000 ["bob's token as ann"]=${ann%%:*}:${bob#*:}
    ["ann's token as nobody"]=ann@example.com:${ann#*:})
for who in "${!strange[@]}"; do
    for_each_client refused "$who" "${strange[$who]}" login
    for_each_client refused "$who" "${strange[$who]}" pull releases/suite-2025
done
for_each_client allowed ann "$ann" pull releases/suite-2025

say
say "$tried outcomes, $wrong of them wrong"
((wrong == 0)) || exit 1
