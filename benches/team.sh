#!/usr/bin/env bash
# Four people, six repositories, and the clients that people use, through nginx to a real registry: the whole table of what
# is allowed and what is refused, in the clients' own words. It ends with 1 if an outcome is not the expected one.
#
# ann and bob are in red, carl is in blue and may pull from red, dora is in ops. A team pulls and pushes its own, everybody
# pulls what is shared, nobody in red reads shared/keys, and ops does everything.
#
#   CLIENTS="curl skopeo podman docker"   those to use; one that is not here, or can't run, is left out and named
#   REGISTRY=FILE                         the registry, instead of docker-registry
#
# podman needs no daemon and keeps its images in the temporary folder. docker is asked for by its daemon, which must let
# 127.0.0.0/8 be an insecure registry, as it does unless told otherwise; the images that it was given are removed from it.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need_nginx
need curl "install it: apt-get install curl"
need htpasswd "install it: apt-get install apache2-utils"
registry=${REGISTRY:-docker-registry}
need "$registry" "install it: apt-get install docker-registry"

declare -A password=([ann]=red-1 [bob]=red-2 [carl]=blue-3 [dora]=ops-4)
people=(ann bob carl dora)
repositories=(red/app red/base blue/app blue/base shared/tools shared/keys)

# ---- what is asked

can() { # client
    case $1 in
        curl) return 0 ;;
        skopeo) command -v skopeo >/dev/null ;;
        podman) command -v podman >/dev/null && pod info >/dev/null 2>&1 ;;
        docker) command -v docker >/dev/null && docker version >/dev/null 2>&1 ;;
    esac
}
pod() { podman --root "$dir/pod" --runroot "$dir/podrun" --tmpdir "$dir/podtmp" --storage-driver vfs "$@"; }
# What one user's client keeps is another's only where it is the machine's: the layers.
dock() { docker --config "$dir/docker.$user" "$@"; }
sko() { skopeo --insecure-policy "$@"; }
copy() { sko copy --preserve-digests --dest-tls-verify=false --dest-creds "$creds" "oci:$dir/$1:one" "docker://$host/$2"; }
web() { curl -sS -i -u "$user:${password[$user]}" "$@" | tr -d '\r'; }     # the status decides, see attempt

# Each action by each client that has it, as $user. An image is a layer and a configuration of its own.
pull_curl() { web "http://$host/v2/$1/manifests/one" -H 'Accept: application/vnd.oci.image.manifest.v1+json'; }
pull_skopeo() { sko inspect --tls-verify=false --creds "$creds" "docker://$host/$1:one" --format '{{.Digest}}'; }
pull_podman() { pod rmi -f "$host/$1:one" >/dev/null 2>&1; pod pull -q --tls-verify=false --creds "$creds" "$host/$1:one"; }
pull_docker() { docker rmi "$host/$1:one" >/dev/null 2>&1; dock pull -q "$host/$1:one"; }
push_curl() { web -X POST "http://$host/v2/$1/blobs/uploads/"; }
push_skopeo() { copy image "$1:skopeo"; }
push_podman() { pod push --tls-verify=false --creds "$creds" "$image" "$host/$1:podman"; }
push_docker() { docker tag "$image" "$host/$1:docker" && dock push "$host/$1:docker"; }
delete_curl() { web -X DELETE "http://$host/v2/$1/manifests/sha256:$(printf '%064d' 0)"; }
delete_skopeo() { sko delete --tls-verify=false --creds "$creds" "docker://$host/$1:gone"; }
catalogue_curl() { web "http://$host/v2/_catalog"; }
catalogue_podman() { REGISTRY_AUTH_FILE=$dir/auth.$user pod search --tls-verify=false "$host/"; }
login_podman() { pod login --tls-verify=false --authfile "$dir/auth.$user" -u "$user" -p "${password[$user]}" "$host"; }
login_docker() { dock login -u "$user" --password-stdin "$host" <<<"${password[$user]}"; }
login_skopeo() { sko login --tls-verify=false --authfile "$dir/auth.$user" -u "$user" -p "${password[$user]}" "$host"; }
# A layer from $1 into $2. skopeo and docker know where they have pushed a layer to, and ask for it to be mounted.
mount_curl() { web -X POST "http://$host/v2/$2/blobs/uploads/?mount=${layer[$1]}&from=$1"; }
# skopeo looks first whether it may read there. Each into a repository of its own, where the layer is not yet.
mount_skopeo() { copy "image.${1//\//-}" "$2/skopeo:mounted"; }
mount_docker() { docker tag "team.${1//\//-}:$port" "$host/$2/docker:mounted" && dock push "$host/$2/docker:mounted"; }

# ---- the table

wrong=0 tried=0
said() { # what a client printed last, in one line and without what differs from run to run
    local text pattern
    for pattern in 'denied|unauthori|forbidden' 'mounted from|: pushed|layer already' 'error|fatal' .; do
        text=$(grep -iE "$pattern" <<<"$1" | tail -n 1)
        [[ -z ${text// /} ]] || break
    done
    # Of an image that can be had, its manifest says nothing here.
    sed -E "s/^[[:space:]]*(time=[^ ]* level=fatal msg=)?//; s/$host/REGISTRY/g; s/\{\"schemaVersion.*/a manifest/" <<<"$text" |
        sed -E 's/[0-9a-f]{64}/<digest>/g; s/^[0-9a-f]{12}: //' | cut -c 1-220
}
attempt() { # allowed|refused|uploaded|mounted user client action arguments...
    local expected=$1 outcome text status
    user=$2 creds=$2:${password[$2]}
    local client=$3 action=$4 logged
    shift 4
    logged=$(wc -l <"$dir/registry.log")
    text=$("${action}_$client" "$@" 2>&1 </dev/null)
    status=$?
    if [[ $client == curl ]]; then
        status=$(sed -n '1s/^HTTP[^ ]* //p' <<<"$text" | cut -c 1-3)
        # A right that is there finds no such manifest, where nothing is to be deleted in truth.
        [[ $status == 2* || $action.$status == delete.404 ]]
        case $?.$action.$status in
            0.mount.201) outcome=mounted ;;
            0.mount.*) outcome=uploaded ;;
            0.*) outcome=allowed ;;
            *) outcome=refused ;;
        esac
        text="$status $(said "$text")"
    else
        outcome=refused
        ((status == 0)) && outcome=allowed
        # Whether a layer was mounted docker says, and of skopeo the registry knows.
        [[ $action.$outcome == mount.allowed ]] && outcome=$(how_mounted "$client" "$text" "$1" "$logged")
        text=$(said "$text")
    fi
    ((tried++))
    local mark=
    [[ $outcome == "$expected" ]] || { mark=" <-- should be $expected"; ((wrong++)); }
    printf '%-5s %-38s %-7s %-9s %s%s\n' "$user" "$action $*" "$client" "$outcome" "$text" "$mark"
}
how_mounted() { # client text from lines
    if [[ $1 == docker ]]; then
        [[ $2 == *"Mounted from $3"* ]]
    else
        # By the registry's log since then: a POST with a mount from there, answered with 201.
        tail -n "+$(($4 + 1))" "$dir/registry.log" | grep -F "?from=${3//\//%2F}" | grep -qF '"http.response.status":201'
    fi
    case $? in 0) say mounted ;; *) say uploaded ;; esac
}
with() { # action: the clients of those at hand that have it
    local client
    for client in "${clients[@]}"; do declare -F "$1_$client" >/dev/null && say "$client"; done
}
for_each_client() { # expected user action arguments...
    local client
    for client in $(with "$3"); do attempt "$1" "$2" "$client" "${@:3}"; done
}

# ---- what is there

free_port; port_nginx=$port
free_port; port_doorward=$port
free_port; port_admin=$port
free_port; port_registry=$port
port=$port_nginx host=127.0.0.1:$port_nginx

touch "$dir/users"
for name in "${people[@]}"; do htpasswd -bB -C 5 "$dir/users" "$name" "${password[$name]}" 2>/dev/null || fail "htpasswd failed"; done
printf 'red: ann bob\nblue: carl\nops: dora\n' >"$dir/groups"
cat >"$dir/policy.toml" <<'EOF'
[[grant]]
who = "authenticated"
repositories = ["shared/**"]
actions = ["pull"]

[[grant]]
groups = ["red", "blue"]
repositories = ["{group}/**"]
actions = ["pull", "push"]

[[grant]]
users = ["carl"]
repositories = ["red/**"]
actions = ["pull"]

[[grant]]
groups = ["ops"]
actions = ["pull", "push", "delete", "catalog"]

[[deny]]
groups = ["red"]
repositories = ["shared/keys"]
EOF
cat >"$dir/registry.yml" <<EOF
version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port_registry", secret: of-a-bench}
EOF
nginx_files
cat >"$dir/http.conf" <<EOF
include doorward/doorward-http.conf;
upstream doorward { server 127.0.0.1:$port_doorward; keepalive 64; }
upstream doorward_upstream { server 127.0.0.1:$port_registry; keepalive 64; }
server { listen 127.0.0.1:$port_nginx; include doorward/doorward-registry.conf; }
EOF

start registry env -u REGISTRY "$registry" serve "$dir/registry.yml"
start doorward "$doorward" serve --listen "127.0.0.1:$port_doorward" --admin-listen "127.0.0.1:$port_admin" \
    --htpasswd "$dir/users" --policy "$dir/policy.toml" --groups "$dir/groups"
start nginx nginx -p "$dir" -c "$dir/nginx.conf"
for _ in {1..200}; do
    [[ $(curl -s -o /dev/null -w '%{http_code}' -u "ann:${password[ann]}" "http://$host/v2/") == 200 ]] && break
    sleep 0.1
done

# An image of one layer for each repository and one more, `mine`, to be pushed.
make_image() { # name
    mkdir -p "$dir/files.$1" && printf '%s of %s\n' "$1" "$port" >"$dir/files.$1/name"
    tar -C "$dir/files.$1" -cf "$dir/layer.$1" . || fail "cannot make an image"
}
blob() { # file: puts it where an OCI layout has it, and sets $digest
    digest=$(sha256sum "$1" | cut -c 1-64) && mkdir -p "$2/blobs/sha256" && cp "$1" "$2/blobs/sha256/$digest"
}
layout() { # name: an OCI layout of the image, in $dir/image.NAME
    local at=$dir/image.$1 media=application/vnd.oci.image content config size
    blob "$dir/layer.$1" "$at"
    content=$digest
    printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$digest" >"$dir/config"
    blob "$dir/config" "$at"
    config=$digest size=$(stat -c %s "$dir/config")
    printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
        $media $media "$config" "$size" $media "$content" "$(stat -c %s "$dir/layer.$1")" >"$dir/manifest"
    blob "$dir/manifest" "$at"
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"one"}}]}' \
        $media "$digest" "$(stat -c %s "$dir/manifest")" >"$at/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$at/oci-layout"
}
declare -A layer
clients=() user=dora creds=dora:${password[dora]}
for client in ${CLIENTS:-curl skopeo podman docker}; do
    if can "$client"; then clients+=("$client"); else say "left out: $client, which is not here or can't run"; fi
done
uses() { [[ " ${clients[*]} " == *" $1 "* ]]; }
uses skopeo || fail "there is no skopeo, which puts the images there; install it: apt-get install skopeo"

remove_images() { # by their ids: some have lost their tags
    docker images --format '{{.ID}} {{.Repository}}:{{.Tag}}' | grep -E " ($host/|team[.].*:$port\$)" | cut -d ' ' -f 1 | sort -u |
        xargs -r docker rmi -f >/dev/null 2>&1
}
uses docker && trap 'remove_images; clean_up' EXIT

image=team.mine:$port
for name in "${repositories[@]//\//-}" mine; do
    make_image "$name"
    layout "$name"
    uses docker && { docker import "$dir/layer.$name" "team.$name:$port" >/dev/null || fail "docker takes no image"; }
done
uses podman && { pod import -q "$dir/layer.mine" "$image" >/dev/null || fail "podman takes no image"; }
ln -s "$dir/image.mine" "$dir/image"
for name in "${repositories[@]}"; do
    layer[$name]=sha256:$(sha256sum "$dir/layer.${name//\//-}" | cut -c 1-64)
    copy "image.${name//\//-}" "$name:one" >/dev/null || fail "cannot fill $name"
    # docker knows the layers that it has pushed, and offers them for a mount.
    uses docker && { login_docker && docker tag "team.${name//\//-}:$port" "$host/$name:filled" && dock push -q "$host/$name:filled"; } >/dev/null 2>&1
done
copy image.mine red/app:gone >/dev/null || fail "cannot fill red/app"

# ---- the table itself

printf '%-5s %-38s %-7s %-9s %s\n' user action client outcome "what it said"
for name in "${people[@]}"; do for_each_client allowed "$name" login; done
declare -A pulls=([ann]='red/app red/base shared/tools' [carl]='red/app red/base blue/app blue/base shared/tools shared/keys')
declare -A pushes=([ann]='red/app red/base' [carl]='blue/app blue/base')
pulls[bob]=${pulls[ann]} pushes[bob]=${pushes[ann]} pulls[dora]=${repositories[*]} pushes[dora]=${repositories[*]}
for name in "${people[@]}"; do
    for repository in "${repositories[@]}"; do
        for action in pull push; do
            declare -n right=${action/%push/pushe}s
            [[ " ${right[$name]} " == *" $repository "* ]] && expected=allowed || expected=refused
            for_each_client "$expected" "$name" "$action" "$repository"
        done
    done
    [[ $name == dora ]] && expected=allowed || expected=refused
    # ann's red/app:gone is deleted last, by who may.
    for_each_client "$expected" "$name" delete red/app
    for_each_client "$expected" "$name" catalogue
done
# Layers from one repository into another: with a right to both, without one to the source, and without one to push.
for_each_client mounted carl mount red/app blue/app
for_each_client uploaded ann mount blue/base red/app
for_each_client uploaded ann mount shared/keys red/base
for_each_client refused carl mount blue/app red/base
for_each_client mounted dora mount shared/tools blue/base

# ---- taken out of a group

hashes() { curl -s "http://127.0.0.1:$port_admin/metrics" | awk '/^doorward_hash_checks_total/ { n += $2 } END { print n + 0 }'; }
say
for_each_client allowed bob push red/base
before=$(hashes)
printf 'red: ann\nblue: carl\nops: dora\n' >"$dir/groups.new" && mv "$dir/groups.new" "$dir/groups"
begin=${EPOCHREALTIME/./}
until [[ $(curl -s -o /dev/null -w '%{http_code}' -u "bob:${password[bob]}" "http://$host/v2/red/base/tags/list") == 403 ]]; do
    ((${EPOCHREALTIME/./} < begin + 10000000)) || fail "bob may pull still, 10 s after he was taken out of red"
done
say "bob is out of red; refused after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms"
for_each_client refused bob push red/base
for_each_client refused bob pull red/base
for_each_client allowed bob pull shared/tools
for_each_client allowed ann push red/base
new=$(($(hashes) - before))

say
say "$tried outcomes, $wrong of them wrong; new password hashes after the change: $new"
((wrong == 0 && new == 0)) || exit 1
