# Provides the official base images. If they cannot be pulled, stand-ins with the same names are built: debootstrap creates
# the base system of Debian, and the other images add packages of Debian to it. Sourced by run.

rust=$(sed -n 's/^ARG RUST_VERSION=//p' "$root/Dockerfile")
# The version of compose.yaml.
nginx_version=$(sed -n 's/.*image: .*nginx:${NGX_DOORWARD_NGINX_VERSION:-\(.*\)}.*/\1/p' "$root/compose.yaml")
bases=(debian:bookworm-slim "rust:$rust-slim-bookworm" "nginx:$nginx_version" registry:3)

bases_make() {
    title "base images"
    local image other
    for image in "${bases[@]}"; do
        other=${image%%:*}_BASE
        other=${other^^}
        if [[ -n ${!other-} ]]; then
            base_instead "$image" "${!other}"
        elif docker image inspect "$image" >/dev/null 2>&1; then
            note "$image exists"
        elif docker pull --quiet "$image" >/dev/null 2>&1; then
            note "$image was pulled"
        else
            timed "stand_in_${image%%:*}" "$image" >"$dir/stand-in.log" 2>&1 ||
                { tail -n 20 "$dir/stand-in.log" >&2; fail "$image cannot be pulled, and no stand-in can be built"; }
            note "$image cannot be pulled; a stand-in was built in $took s"
            [[ -n ${KEEP-} ]] || at_end "docker rmi $image"
        fi
    done
    nginx_version_find
}

# Sets $nginx_base, and passes on the version of nginx to compose. A stand-in has the version of Debian.
nginx_version_find() {
    local tag=nginx:$nginx_version found
    found=$(docker run --rm --network none --entrypoint nginx "$tag" -v 2>&1 | sed -n 's#.*nginx/\([0-9.]*\).*#\1#p')
    [[ -n $found ]] || fail "$tag does not print its version"
    if [[ $found != "$nginx_version".* ]]; then
        nginx_version=$found
        docker tag "$tag" "nginx:$found" || fail "$tag cannot be tagged"
        [[ -n ${KEEP-} ]] || at_end "docker rmi nginx:$found"
        note "$tag is nginx $found"
    fi
    nginx_base=nginx:$nginx_version
    nginx_version_export
}
nginx_version_export() { export NGX_DOORWARD_NGINX_VERSION=$nginx_version; }

# Tags another image with the name of the official image, which compose.yaml uses. At the end the tag is restored.
base_instead() { # image other
    local before
    before=$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null)
    docker image inspect "$2" >/dev/null 2>&1 || quietly docker pull "$2" || fail "$2 cannot be pulled"
    docker tag "$2" "$1" || fail "$2 cannot be tagged as $1"
    if [[ -n $before ]]; then at_end "docker tag $before $1"; else at_end "docker rmi $1"; fi
    note "$1 is $2"
}

# The image gets the certificate authorities of this machine, so that it can install packages from the same sources.
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
