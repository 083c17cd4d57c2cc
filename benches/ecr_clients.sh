# The clients of benches/ecr.sh and what they are asked to do, each in its own words; and the count of what came of it. To be
# sourced, after common.sh. All of them trust our authority, and check what they are shown.

can() { # client
    case $1 in
        curl | skopeo) return 0 ;;
        podman) command -v podman >/dev/null && pod info >/dev/null 2>&1 ;;
        docker) engine_starts ;;
    esac
}
# An engine of the bench's own: the user's would not trust our authority. It needs no network but loopback's.
engine_starts() {
    ((EUID == 0)) && command -v docker >/dev/null && command -v dockerd >/dev/null || return
    start dockerd env SSL_CERT_FILE="$dir/ca.crt" dockerd --host "unix://$dir/docker.sock" --data-root "$dir/docker" \
        --exec-root "$dir/docker-exec" --pidfile "$dir/docker.pid" --bridge none --iptables=false --ip6tables=false \
        --ip-forward=false --ip-masq=false
    until_it 60 dock version >/dev/null 2>&1
}
pod() { SSL_CERT_FILE=$dir/ca.crt podman --root "$dir/pod" --runroot "$dir/podrun" --tmpdir "$dir/podtmp" --storage-driver vfs "$@"; }
dock() { docker --host "unix://$dir/docker.sock" --config "$dir/config/docker" "$@"; }
sko() { SSL_CERT_FILE=$dir/ca.crt skopeo --insecure-policy "$@"; }
web() { curl -sS -i -u "$creds" --cacert "$dir/ca.crt" "$@" | tr -d '\r'; }     # the status decides, see attempt

# Each action by each client, at $host as $creds. docker has only the log-in that it keeps, if that was not refused.
oci=application/vnd.oci.image.manifest.v1+json
login_curl() { web "https://$host/v2/"; }
login_skopeo() { sko login --authfile "$dir/config/auth" -u "${creds%%:*}" -p "${creds#*:}" "$host"; }
login_podman() { pod login --authfile "$dir/config/auth" -u "${creds%%:*}" -p "${creds#*:}" "$host"; }
login_docker() { rm -rf -- "$dir/config/docker"; dock login -u "${creds%%:*}" --password-stdin "$host" <<<"${creds#*:}"; }
# curl: the manifest, and every layer, wherever it is, whose content is what its name says.
pull_curl() {
    local text digest
    text=$(web -H "Accept: $oci" "https://$host/v2/$1/manifests/one")
    [[ $text == 'HTTP/1.1 200'* ]] || { say "$text"; return; }
    for digest in $(grep -o 'sha256:[0-9a-f]\{64\}' <<<"$text" | sort -u); do
        [[ $text != *'Docker-Content-Digest: '"$digest"* ]] || continue
        curl -sSL -f -u "$creds" --cacert "$dir/ca.crt" "https://$host/v2/$1/blobs/$digest" | sha256sum |
            grep -q "^${digest#*:} " || { say "a layer is not what it should be: $digest"; return; }
    done
    say "$text"
}
pull_skopeo() { rm -rf -- "$dir/got" && sko copy -q --src-creds "$creds" "docker://$host/$1:one" "dir:$dir/got" && sko inspect --raw "dir:$dir/got" | grep -o '"digest"' | wc -l | sed 's/$/ parts/'; }
pull_podman() { pod rmi -af >/dev/null 2>&1; pod pull -q --creds "$creds" "$host/$1:one"; }
pull_docker() { login_docker >/dev/null && { dock images -q | xargs -r docker --host "unix://$dir/docker.sock" rmi -f >/dev/null 2>&1; dock pull -q "$host/$1:one"; }; }
# What is pushed has twenty layers. curl begins an upload; podman and docker have the image from a file.
push_curl() { web -X POST "https://$host/v2/$1/blobs/uploads/"; }
push_skopeo() { sko copy -q --dest-creds "$creds" "oci:$dir/mine:one" "docker://$host/$1:$2"; }
push_podman() { pod load -q -i "$dir/mine.tar" >/dev/null && pod push --creds "$creds" docker.io/library/mine:one "$host/$1:$2"; }
push_docker() {
    login_docker >/dev/null && { dock images -q mine | grep -q . || dock load -q -i "$dir/mine.tar" >/dev/null; } &&
        dock tag mine:one "$host/$1:$2" && dock push "$host/$1:$2"
}
tags_skopeo() { sko list-tags --creds "$creds" "docker://$host/$1" | grep -c '^ *"t[0-9]' | sed 's/$/ tags/'; }
# curl: from page to page, by Link alone, as it stands there.
tags_curl() {
    local next=/v2/$1/tags/list text pages=0 found=
    while [[ -n $next ]]; do
        text=$(web "https://$host$next")
        [[ $text == 'HTTP/1.1 200'* ]] || { say "$text"; return; }
        found+=$(grep -o '"t[0-9]*"' <<<"$text")
        next=$(sed -n 's/^[Ll]ink: <\([^>]*\)>.*/\1/p' <<<"$text")
        next=${next#"https://$host"}
        [[ -z $next || $next == /* ]] || { say "Link leads to ${next%%\?*}"; return; }
        ((++pages < 10)) || return
    done
    printf 'HTTP/1.1 200 OK\n%s tags on %s pages\n' "$(grep -o '"t[0-9]*"' <<<"$found" | sort -u | wc -l)" "$pages"
}

# ---- the count

wrong=0 tried=0 faults=()
said() { # what a client printed last, in one line and without what differs from run to run
    local text pattern
    for pattern in 'denied|unauthori|forbidden|unavailable|invalid user|unsupported|refused the' 'error|fatal' .; do
        text=$(grep -iE "$pattern" <<<"$1" | grep -viE '^(retry-after|docker-distr|x-)' | tail -n 1)
        [[ -z ${text// /} ]] || break
    done
    sed -E "s/^[[:space:]]*(time=[^ ]* level=fatal msg=)?//; s/127.0.0.1:[0-9]+/REGISTRY/g; s/\{\"schemaVersion.*/a manifest/" <<<"$text" |
        sed -E 's/[0-9a-f]{64}/<digest>/g' | cut -c 1-190
}
counted() { # what, and what is wrong with it if anything is
    ((++tried))
    [[ -n $2 ]] || return 0
    ((++wrong))
    faults+=("$part: $1: $2")
}
attempt() { # allowed|refused|refused:PATTERN who client action arguments...
    local expected=$1 who=$2 client=$3 action=$4 outcome=refused text status mark=
    creds=${secret[$who]}
    shift 4
    text=$("${action}_$client" "$@" 2>&1 </dev/null)
    status=$?
    printf '%s\n' "$text" >>"$dir/told/$client"
    [[ $client != curl ]] || { [[ $text == 'HTTP/1.1 2'* ]]; status=$?; }
    ((status != 0)) || outcome=allowed
    [[ $outcome == "${expected%%:*}" ]] || mark="is $outcome"
    [[ $expected != *:* ]] || grep -Eiq -- "${expected#*:}" <<<"$text" || mark="$outcome, but not with: ${expected#*:}"
    counted "$who $action $* by $client" "$mark${mark:+ ($(said "$text"))}"
    printf '%-8s %-28s %-7s %-8s %s%s\n' "$who" "$action $*" "$client" "$outcome" "$(said "$text")" "${mark:+ <-- $mark}"
}
each() { # expected who action arguments...: by each client that can
    local client
    for client in "${clients[@]}"; do
        ! declare -F "$3_$client" >/dev/null || attempt "${@:1:2}" "$client" "${@:3}"
    done
}
expect() { # what got wanted: the latter is a regular expression
    local mark=
    [[ $2 =~ ^($3)$ ]] || mark="is ${2:-nothing} instead of $3"
    counted "$1" "$mark"
    printf '%-54s %s%s\n' "$1" "$(cut -c 1-160 <<<"${2//$'\n'/ | }" | head -n 1)" "${mark:+ <-- $mark}"
}
title() { part=$1; printf '\n== %s\n' "$1"; }

# ---- what is published

image() { # name
    rm -rf -- "${dir:?}/$1" && python3 "$root/benches/ecr_image.py" "$dir/$1" one 20 "${LAYER:-400000}" || fail "cannot make an image"
}
publish() { # repository tag...: past nginx and ECR, as the vendor's own factory does
    local tag
    for tag in "${@:2}"; do
        sko copy -q --dest-tls-verify=false "oci:$dir/image:one" "docker://127.0.0.1:$port_registry/$1:$tag" || fail "cannot publish $1"
    done
}
