# The commands of each client for tests/clients/run, which sources this file. ${at[CLIENT]} is the program, $host is the
# registry, $word is the password of $user, and $image is the image to push: `image` or `other`.

# Prepares a client, once.
prepare() { # client
    case $1 in
        buildah) ((EUID == 0)) && bud images ;;
        ctr) ((EUID == 0)) && containerd_starts ;;
        helm) chart ;;
        cosign) (cd "$dir" && COSIGN_PASSWORD='' "${at[cosign]}" generate-key-pair) ;;
    esac
}

# Writes the file that `docker login` writes. Most clients read it.
docker_config() { # sets $config
    config=$dir/config/$user-$word
    mkdir -p "$config" || return
    printf '{"auths": {"%s": {"auth": "%s"}}}' "$host" "$(printf %s "$user:$word" | base64)" >"$config/config.json"
}

cra() { docker_config && HOME=$dir DOCKER_CONFIG=$config "${at[$client]}" --insecure "$@"; }
push_crane() { cra push "$dir/$image" "$host/$1:one"; }
pull_crane() { cra pull "$host/$1:one" "$dir/got.tar"; }
mount_crane() { cra copy "$host/$1:one" "$host/$2:one"; }

ora() { docker_config && HOME=$dir DOCKER_CONFIG=$config "${at[oras]}" "$@"; }
push_oras() { ora copy --from-oci-layout "$dir/$image:one" --to-plain-http "$host/$1:one"; }
pull_oras() { ora copy --from-plain-http "$host/$1:one" --to-oci-layout "$dir/got-oras:one"; }
mount_oras() { ora copy --from-plain-http "$host/$1:one" --to-plain-http "$host/$2:one"; }

reg() {
    printf '{"hosts": {"%s": {"tls": "disabled", "hostname": "%s", "user": "%s", "pass": "%s"}}}' "$host" "$host" "$user" "$word" \
        >"$dir/regctl.json"
    HOME=$dir REGCTL_CONFIG=$dir/regctl.json "${at[regctl]}" "$@"
}
push_regctl() { reg image copy "ocidir://$dir/$image:one" "$host/$1:one"; }
pull_regctl() { reg image copy "$host/$1:one" "ocidir://$dir/got-regctl:one"; }
mount_regctl() { reg image copy "$host/$1:one" "$host/$2:one"; }

chart() {
    mkdir -p "$dir/chart/templates" &&
        printf 'apiVersion: v2\nname: chart\nversion: 0.1.0\n' >"$dir/chart/Chart.yaml" &&
        HOME=$dir "${at[helm]}" package "$dir/chart" -d "$dir"
}
hel() { docker_config && HOME=$dir HELM_REGISTRY_CONFIG=$config/config.json "${at[helm]}" "$@"; }
push_helm() { hel push "$dir/chart-0.1.0.tgz" "oci://$host/$1" --plain-http; }
pull_helm() { hel pull "oci://$host/$1/chart" --version 0.1.0 --plain-http -d "$dir/config"; }

# Pushes the image that cosign signs.
before_cosign() {
    skopeo --insecure-policy copy -q --preserve-digests --dest-tls-verify=false "--dest-creds=$user:$word" "oci:$dir/$image:one" "docker://$host/$1:one"
}
cosi() { docker_config && HOME=$dir DOCKER_CONFIG=$config COSIGN_PASSWORD='' "${at[cosign]}" "$@"; }
push_cosign() { cosi sign --yes -a "by=$user" --key "$dir/cosign.key" --tlog-upload=false --use-signing-config=false --allow-http-registry "$host/$1:one"; }
pull_cosign() { cosi verify --key "$dir/cosign.pub" --insecure-ignore-tlog --private-infrastructure --allow-http-registry "$host/$1:one"; }
mount_cosign() { cosi copy --allow-http-registry "$host/$1:one" "$host/$2:one"; }

bud() { buildah --root "$dir/bud" --runroot "$dir/budrun" --storage-driver vfs "$@"; }
push_buildah() {
    bud inspect --type image "$image:one" >/dev/null 2>&1 || bud pull -q "docker-archive:$dir/$image.tar" >/dev/null || return
    bud push -q --tls-verify=false "--creds=$user:$word" "$image:one" "docker://$host/$1:one"
}
pull_buildah() { bud pull -q --tls-verify=false "--creds=$user:$word" "$host/$1:one"; }
mount_buildah() { push_buildah "$2"; }

sko() { skopeo --insecure-policy "$@"; }
push_skopeo() { sko copy -q --dest-tls-verify=false "--dest-creds=$user:$word" "oci:$dir/$image:one" "docker://$host/$1:one"; }
pull_skopeo() { rm -rf -- "$dir/got"; sko copy -q --src-tls-verify=false "--src-creds=$user:$word" "docker://$host/$1:one" "dir:$dir/got"; }
mount_skopeo() {
    sko copy -q --src-tls-verify=false --dest-tls-verify=false "--src-creds=$user:$word" "--dest-creds=$user:$word" \
        "docker://$host/$1:one" "docker://$host/$2:one"
}

containerd_starts() {
    printf 'version = 2\nroot = "%s"\nstate = "%s"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s"\n' \
        "$dir/containerd" "$dir/containerd-state" "$dir/containerd.sock" >"$dir/containerd.toml"
    start containerd containerd --config "$dir/containerd.toml" --log-level error
    local end=$((SECONDS + 30))
    until ctd version; do ((SECONDS < end)) || return; sleep 0.2; done
}
ctd() { ctr -a "$dir/containerd.sock" "$@"; }
push_ctr() {
    ctd images ls -q | grep -qx "docker.io/library/$image:one" || ctd images import --no-unpack "$dir/$image.tar" >/dev/null || return
    ctd images push --plain-http --user "$user:$word" "$host/$1:one" "docker.io/library/$image:one"
}
pull_ctr() { ctd content fetch --plain-http --user "$user:$word" "$host/$1:one"; }
mount_ctr() { ctd images push --plain-http --user "$user:$word" "$host/$2:one" "$host/$1:one"; }
