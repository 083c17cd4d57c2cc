# The official images that ours are made from. Where they can't be pulled, stand-ins under their names: Debian's own
# base system by debootstrap, and from it, with Debian's packages, the others. To be sourced.

rust=$(sed -n 's/^ARG RUST_VERSION=//p' "$root/Dockerfile")
bases=(debian:bookworm-slim "rust:$rust-slim-bookworm" nginx:stable registry:3)

bases_make() {
    title "base images"
    local image other
    for image in "${bases[@]}"; do
        other=${image%%:*}_BASE
        other=${other^^}
        if [[ -n ${!other-} ]]; then
            base_instead "$image" "${!other}"
        elif docker image inspect "$image" >/dev/null 2>&1; then
            note "$image is there"
        elif docker pull --quiet "$image" >/dev/null 2>&1; then
            note "$image was pulled"
        else
            timed "stand_in_${image%%:*}" "$image" >"$dir/stand-in.log" 2>&1 ||
                { tail -n 20 "$dir/stand-in.log" >&2; fail "$image can't be pulled, and no stand-in can be made"; }
            note "$image can't be pulled; a stand-in was made in $took s"
            [[ -n ${KEEP-} ]] || at_end "docker rmi $image"
        fi
    done
}

# Under the name of the official one, as compose.yaml has it; at the end the name is again what it was before.
base_instead() { # image other
    local before
    before=$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null)
    docker image inspect "$2" >/dev/null 2>&1 || quietly docker pull "$2" || fail "$2 can't be pulled"
    docker tag "$2" "$1" || fail "$2 can't be tagged as $1"
    if [[ -n $before ]]; then at_end "docker tag $before $1"; else at_end "docker rmi $1"; fi
    note "$1 is $2"
}

# It trusts whom this machine trusts, so that what is installed in it later comes from where this machine has it from.
stand_in_debian() {
    "$root/tests/need" debootstrap || return
    local base=$dir/debian
    debootstrap --variant=minbase --include=ca-certificates bookworm "$base" || return
    cp -r /usr/local/share/ca-certificates/. "$base/usr/local/share/ca-certificates/" 2>/dev/null
    cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/" || return
    rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
    tar -C "$base" -c . | docker import --change 'CMD ["bash"]' - "$1" || return
    rm -rf -- "$base"
}

stand_in_rust() {
    "$root/tests/need" cargo || return
    local base=$dir/rust from
    from=$(cd "$root" && rustc --print sysroot) && mkdir -p "$base" || return
    tar -C "$from" --exclude=lib/rustlib/src -c bin/cargo bin/rustc lib | tar -x -C "$base" || return
    docker build --tag "$1" --file "$here/stand-ins/rust.Dockerfile" "$base" || return
    rm -rf -- "$base"
}

stand_in_nginx() { docker build --tag "$1" "$here/stand-ins/nginx"; }
stand_in_registry() { docker build --tag "$1" "$here/stand-ins/registry"; }
