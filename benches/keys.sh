#!/usr/bin/env bash
# API keys and the clients that people use, through nginx to a real registry: a key as its owner's password, with the fixed
# name, and as a bearer where the client knows how; what it may and may not, in the clients' own words. Then keys that are
# revoked while they pull: how long until the first refusal, and whether anything else was refused. It ends with 1 if an
# outcome is not the expected one.
#
# ann may do everything, and has keys: `all`, `pull` for pulling team/**, `push` for pushing team/app too, `over`, which has
# expired, and `gone`, which was revoked. bob has one too.
#
#   CLIENTS="curl skopeo podman docker"   those to use; one that is not here, or can't run, is left out and named
#   REGISTRY=FILE                         the registry, instead of docker-registry
#   ROUNDS=10                             keys that are revoked in each of the two ways

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need_nginx
need curl "install it: apt-get install curl"
need skopeo "install it: apt-get install skopeo"
need htpasswd "install it: apt-get install apache2-utils"
registry=${REGISTRY:-docker-registry}
need "$registry" "install it: apt-get install docker-registry"
rounds=${ROUNDS:-10}

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

# Each action by each client, with the user name $user and the key $key; a bearer has no name. docker and podman know no
# bearer of one's own; skopeo has a flag for it. docker has only the log-in that it keeps, where that was not refused.
web() { # the status decides, see attempt
    local how=(-u "$user:$key")
    [[ -n $user ]] || how=(-H "Authorization: Bearer $key")
    curl -sS -i "${how[@]}" "$@" | tr -d '\r'
}
by() { # src-|dest-|nothing: skopeo's flag
    if [[ -n $user ]]; then say "--$1creds=$user:$key"; else say "--${1}registry-token=$key"; fi
}
login_curl() { web "http://$host/v2/"; }
login_skopeo() { sko login --tls-verify=false --authfile "$dir/auth" -u "$user" -p "$key" "$host"; }
login_podman() { pod login --tls-verify=false --authfile "$dir/auth" -u "$user" -p "$key" "$host"; }
login_docker() { rm -rf -- "$dir/docker"; dock login -u "$user" --password-stdin "$host" <<<"$key"; }
pull_curl() { web "http://$host/v2/$1/manifests/one" -H 'Accept: application/vnd.oci.image.manifest.v1+json'; }
pull_skopeo() { sko inspect --tls-verify=false "$(by '')" "docker://$host/$1:one" --format '{{.Digest}}'; }
pull_podman() { pod rmi -f "$host/$1:one" >/dev/null 2>&1; pod pull -q --tls-verify=false --creds "$user:$key" "$host/$1:one"; }
pull_docker() { login_docker >/dev/null && { docker rmi "$host/$1:one" >/dev/null 2>&1; dock pull -q "$host/$1:one"; }; }
push_curl() { web -X POST "http://$host/v2/$1/blobs/uploads/"; }
push_skopeo() { sko copy --dest-tls-verify=false "$(by dest-)" "oci:$dir/image:one" "docker://$host/$1:new"; }
push_podman() { pod push --tls-verify=false --creds "$user:$key" mine "$host/$1:new"; }
push_docker() { login_docker >/dev/null && docker tag "$mine" "$host/$1:new" && dock push "$host/$1:new"; }
catalogue_curl() { web "http://$host/v2/_catalog"; }

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
attempt() { # allowed|refused key-name user client action arguments...
    local expected=$1 name=$2 client=$4 action=$5 outcome=refused text status
    user=$3 key=${secret[$2]}
    shift 5
    text=$("${action}_$client" "$@" 2>&1 </dev/null)
    status=$?
    [[ $client != curl ]] || { [[ $text == 'HTTP/1.1 2'* ]]; status=$?; }
    ((status != 0)) || outcome=allowed
    ((tried++))
    local mark=
    [[ $outcome == "$expected" ]] || { mark=" <-- should be $expected"; ((wrong++)); }
    [[ $text != *"$key"* ]] || { mark+=" <-- tells the key"; ((wrong++)); }
    printf '%-5s %-7s %-22s %-7s %-8s %s%s\n' "$name" "${user:-bearer}" "$action $*" "$client" "$outcome" "$(said "$text")" "$mark"
}
for_each_client() { # expected key-name user action arguments...
    local client
    for client in "${clients[@]}"; do
        declare -F "$4_$client" >/dev/null && [[ -n $3 || $client == curl ]] && attempt "${@:1:3}" "$client" "${@:4}"
    done
}

# ---- what is there

free_port; port_nginx=$port
free_port; port_doorward=$port
free_port; port_admin=$port
free_port; port_registry=$port
host=127.0.0.1:$port_nginx mine=keys.mine:$port_nginx keys=$dir/keys

touch "$dir/users" "$keys"
for name in ann bob; do htpasswd -bB -C 5 "$dir/users" "$name" "$name-1" 2>/dev/null || fail "htpasswd failed"; done
declare -A secret=()
new() { # name arguments...: a key of ann's
    secret[$1]=$("$doorward" api-key new --api-keys "$keys" --owner ann --name "$1" "${@:2}") || fail "no key was made"
}
new all
new pull --scope 'pull:team/**'
new push --scope 'pull,push:team/app' --expires 1h
new gone
"$doorward" api-key revoke --api-keys "$keys" gone --owner ann >/dev/null || fail "a key could not be revoked"
new over --expires 1s
secret[bob]=$("$doorward" api-key new --api-keys "$keys" --owner bob --name bob) || fail "no key was made"
cat >"$dir/registry.yml" <<EOF2
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/storage}}
http: {addr: "127.0.0.1:$port_registry", secret: of-a-bench}
EOF2
nginx_files
cat >"$dir/http.conf" <<EOF2
include doorward/doorward-http.conf;
upstream doorward { server 127.0.0.1:$port_doorward; keepalive 64; }
upstream doorward_upstream { server 127.0.0.1:$port_registry; keepalive 64; }
server { listen 127.0.0.1:$port_nginx; include doorward/doorward-registry.conf; }
EOF2
start registry env -u REGISTRY "$registry" serve "$dir/registry.yml"
start nginx nginx -p "$dir/" -c "$dir/nginx.conf"
start doorward "$doorward" serve --listen "127.0.0.1:$port_doorward" --htpasswd "$dir/users" --api-keys "$keys" \
    --throttle-user-failures 10000 --throttle-network-failures 10000 --admin-listen "127.0.0.1:$port_admin"
wait_for doorward "$port_admin" /readyz
wait_for registry "$port_registry" /v2/

blob() { # file: puts it where an OCI layout has it, and sets $digest
    digest=$(sha256sum "$1" | cut -c 1-64) && cp "$1" "$dir/image/blobs/sha256/$digest"
}
mkdir -p "$dir/image/blobs/sha256"
media=application/vnd.oci.image
printf '%s\n' "$port_nginx" >"$dir/content"
{ tar -C "$dir" -cf "$dir/layer" content && blob "$dir/layer"; } || fail "cannot make an image"
layer=$digest
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" >"$dir/config"
blob "$dir/config"
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
    $media $media "$digest" "$(stat -c %s "$dir/config")" $media "$layer" "$(stat -c %s "$dir/layer")" >"$dir/manifest"
blob "$dir/manifest"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"one"}}]}' \
    $media "$digest" "$(stat -c %s "$dir/manifest")" >"$dir/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$dir/image/oci-layout"
for name in team/app team/lib other/app; do
    sko copy -q --dest-tls-verify=false "oci:$dir/image:one" "docker://127.0.0.1:$port_registry/$name:one" || fail "cannot fill $name"
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

until "$doorward" api-key list --api-keys "$keys" | grep -q 'over.*EXPIRED'; do sleep 0.1; done

# ---- the table itself

printf '%-5s %-7s %-22s %-7s %-8s %s\n' key name action client outcome "what it said"
for name in ann token ''; do
    for key_name in all pull push; do
        for_each_client allowed $key_name "$name" login
        for_each_client allowed $key_name "$name" pull team/app
    done
    for_each_client allowed pull "$name" pull team/lib
    for_each_client refused push "$name" pull team/lib
    for_each_client refused pull "$name" pull other/app
    for_each_client allowed all "$name" push other/app
    for_each_client allowed push "$name" push team/app
    for_each_client refused push "$name" push team/lib
    for_each_client refused pull "$name" push team/app
    for_each_client allowed all "$name" catalogue
    for_each_client refused pull "$name" catalogue
    for key_name in over gone; do
        for_each_client refused $key_name "$name" login
        for_each_client refused $key_name "$name" pull team/app
    done
done
for_each_client refused bob ann login
for_each_client refused all bob pull team/app
for_each_client allowed bob token pull team/app
# skopeo sends a token of one's own only to a registry that asks for a Bearer; doorward asks for Basic.
attempt refused all '' skopeo pull team/app
attempt refused all '' skopeo push team/app

# ---- revoked while it pulls

status_of() { curl -s -o /dev/null -w '%{http_code}' "$@"; } # curl's arguments
now() { say "${EPOCHREALTIME/./}"; }
revoked_after() { # name url: pulls with a new key that is revoked meanwhile; prints the milliseconds, or what was wrong
    local begin status times=0 doomed
    new "$1" || return
    doomed=(-H "Authorization: Bearer ${secret[$1]}" "$2")
    for _ in {1..300}; do
        [[ $(status_of "${doomed[@]}") == 200 ]] && break
        sleep 0.02
    done
    "$doorward" api-key revoke --api-keys "$keys" "$1" --owner ann >/dev/null || { say "it could not be revoked"; return 1; }
    begin=$(now)
    while status=$(status_of "${doomed[@]}"); [[ $status == 200 ]]; do
        ((times++, $(now) < begin + 10000000)) || { say "it is good still, after 10 s"; return 1; }
        [[ $(status_of -u "ann:${secret[all]}" "$2") == 200 ]] || { say "her other key was refused"; return 1; }
    done
    [[ $status == 401 ]] || { say "it got $status"; return 1; }
    say "$((($(now) - begin) / 1000))"
    for _ in {1..5}; do
        [[ $(status_of "${doomed[@]}") == 401 && $(status_of -u "ann:${secret[all]}" "$2") == 200 ]] || { say "it did not last"; return 1; }
    done
}
say
for way in "through nginx|http://$host/v2/team/app/tags/list" "at /auth|http://127.0.0.1:$port_doorward/auth"; do
    times=()
    for ((round = 0; round < rounds; round++)); do
        if told=$(revoked_after "doomed$round.${way%% *}" "${way#*|}"); then times+=("$told"); else say "${way%%|*}: $told"; ((wrong++)); fi
    done
    ((${#times[@]} == 0)) || printf '%-16s %s\n' "${way%%|*}:" "first refusal after $(median "${times[@]}") ms (median of ${#times[@]}; $(printf '%s\n' "${times[@]}" | sort -n | sed -n '1p;$p' | paste -sd '-' | sed 's/-/ to /') ms)"
done

say
say "$tried outcomes, $wrong of them wrong"
((wrong == 0)) || exit 1
