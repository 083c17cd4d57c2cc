#!/usr/bin/env bash
# A vendor's customers, with the clients that they use, in front of ECR: nginx as its image has it (NGX_DOORWARD_KIND=ecr),
# doorward with examples/vendor-api.toml and an [[upstream]] of type ecr, AWS (moto), and stand-ins for ECR and S3 over the
# real registry. Who may pull and push what, tag lists, tokens that end meanwhile, an AWS that fails, an ECR that refuses,
# two of everything behind a balancer; and then whether a token of ECR's was seen where it must not be. It ends with 1 if
# an outcome is not the expected one.
#
# ann has a licence for suite-2025, and had one for suite-2023; bob has one for suite-2024; eve sells, and may push to
# sellers/**.
#
#   DOORWARD=FILE                         one with the feature `ecr`, instead of that which is built for this
#   CLIENTS="curl skopeo podman docker"   those to use; one that is not here, or can't run, is left out and named
#   PARTS="pulls push ..."                those to run, instead of all; see below
#   REGISTRY=FILE, MOTO=FILE              instead of docker-registry, and of a moto_server that is installed below target
#   KEEP=FOLDER                           where all logs and captures are left

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=benches/ecr_world.sh
. "$root/benches/ecr_world.sh"
# shellcheck source=benches/ecr_clients.sh
. "$root/benches/ecr_clients.sh"
# shellcheck source=benches/ecr_faults.sh
. "$root/benches/ecr_faults.sh"
# shellcheck source=benches/ecr_parts.sh
. "$root/benches/ecr_parts.sh"
if [[ -z ${DOORWARD-} ]]; then
    say "building doorward with the feature ecr ..." >&2
    # A folder of its own: the other benchmarks measure the one without it.
    (cd "$root" && cargo build --release --features ecr --target-dir target/ecr) >&2 || fail "cargo could not build doorward"
    doorward=$root/target/ecr/release/doorward
fi
need_doorward
need_nginx
for program in curl skopeo openssl python3; do need $program "install it: apt-get install $program"; done
registry=${REGISTRY:-docker-registry}
need "$registry" "install it: apt-get install docker-registry"
moto_server

declare -A secret=([ann]=ann@example.org:ann-3f786850e387550f [bob]=bob@example.org:bob-89e6c98d92887913
    [eve]=eve@example.org:eve-2b66fd261ee5c6cf [wrong]=ann@example.org:ann-0000000000000000
    [other]=ann@example.org:bob-89e6c98d92887913)

# ---- what is there

mkdir -p "$dir"/{told,config,tap,var} && chmod 700 "$dir/told"
clean() {
    local at=${KEEP-}
    if [[ -n $at ]]; then
        mkdir -p "$at" && cp -R "$dir"/*.log "$dir"/*.toml "$dir/state" "$dir/told" "$dir/tap" "$at/" 2>/dev/null
        for name in "${nginxes[@]}"; do
            [[ ! -d $dir/$name ]] || { mkdir -p "$at/$name" && cp -R "$dir/$name/etc" "$dir/$name/var" "$at/$name/"; }
        done
    fi
    for pid in "${pids[@]}"; do stop "$pid"; done
    # docker's and podman's folders are full of mounts while something still runs; rm must not follow them.
    awk -v at="$dir/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount 2>/dev/null
    pids=()
    clean_up
}
nginxes=(shop sellers closed first second wrong-authority no-secret wrong-secret)
trap clean EXIT
start_amazon
printf 'of-nginx-and-doorward-%s\n' "$RANDOM$RANDOM$RANDOM" >"$dir/secret"
cat "$root/examples/vendor-policy.toml" - >"$dir/vendor-policy.toml" <<EOF

[[grant]]
users = ["${secret[eve]%%:*}"]
repositories = ["sellers/**"]
actions = ["pull", "push"]
EOF
free_port; port_api=$port
nginx_files
cat >"$dir/http.conf" <<EOF
map \$http_authorization \$account {
    "ApiKey ${secret[ann]#*:}" '{"email": "${secret[ann]%%:*}", "customer": "C-17", "licences": [
        {"product": "suite", "release": "suite-2023", "expired": true},
        {"product": "suite", "release": "suite-2025", "expired": false}]}';
    "ApiKey ${secret[bob]#*:}" '{"email": "${secret[bob]%%:*}", "customer": "C-18", "licences": [
        {"product": "suite", "release": "suite-2024", "expired": false}]}';
    "ApiKey ${secret[eve]#*:}" '{"email": "${secret[eve]%%:*}", "customer": "S-1", "licences": []}';
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
start api nginx -p "$dir/" -c "$dir/nginx.conf"
until_it 20 in_use "$port_api" || { cat "$dir/api.log" >&2; fail "the vendor's API does not start"; }

# The longest token that AWS may send. It has to get through every buffer.
aws_is '{"length": 12288}'
keys=("AWS_ACCESS_KEY_ID=$aws_id" "AWS_SECRET_ACCESS_KEY=$aws_secret")
doorward_at doorward "${keys[@]}"

# Each nginx, and what the clients know of it: a port of the tap's.
declare -A at=()
ways=()
for name in shop sellers closed balanced; do
    free_port; port_of[$name]=$port
    free_port; at[$name]=127.0.0.1:$port
    ways+=("${at[$name]}=127.0.0.1:${port_of[$name]}")
done
start tap python3 "$root/benches/ecr_tap.py" --folder "$dir/tap" --pair "$dir/ours.crt" "$dir/ours.key" --ca "$dir/ca.crt" "${ways[@]}"
until_it 20 in_use "${at[shop]#*:}" || { cat "$dir/tap.log" >&2; fail "the tap does not start"; }
by_tcp=("AUTH=127.0.0.1:${port_of[doorward]}" "SECRET_FILE=$dir/secret")
nginx_starts shop "${port_of[shop]}" "${by_tcp[@]}"
nginx_starts sellers "${port_of[sellers]}" "AUTH=unix:$dir/doorward.sock" PUSH=on
nginx_starts closed "${port_of[closed]}" "${by_tcp[@]}" REDIRECTS=follow

for release in suite-2023 suite-2024 suite-2025; do
    image image
    publish "releases/$release" one
done
publish releases/suite-2025 t1 t2 t3 t4 t5 t6 t7
image mine
sko copy -q "oci:$dir/mine:one" "docker-archive:$dir/mine.tar:docker.io/library/mine:one" || fail "cannot make an archive"

clients=()
for client in ${CLIENTS:-curl skopeo podman docker}; do
    if can "$client"; then clients+=("$client"); else say "left out: $client, which is not here or can't run"; fi
done

# ---- the parts

for name in ${PARTS:-standins pulls follow push chain expiry gone refusal faults moves authority peers balanced scan}; do
    "part_$name"
done

printf '\noutcomes %d, wrong %d\n' "$tried" "$wrong"
((wrong == 0)) || { printf '  %s\n' "${faults[@]}"; exit 1; }
