# The clients of benches/tokens.sh and what they are asked to do, each in its own words; and the count of what came of it.
# To be sourced, after common.sh. $host is the registry; $user is somebody, whose password is in $word, or nobody.

can() { # client
    case $1 in
        curl | skopeo) return 0 ;;
        podman) command -v podman >/dev/null && pod info >/dev/null 2>&1 ;;
        docker) engine_starts ;;
        crane) command -v crane >/dev/null ;;
    esac
}
# An engine of the bench's own, which needs no network but loopback's.
engine_starts() {
    ((EUID == 0)) && command -v docker >/dev/null && command -v dockerd >/dev/null || return
    start dockerd dockerd --host "unix://$dir/docker.sock" --data-root "$dir/docker" --exec-root "$dir/docker-exec" \
        --pidfile "$dir/docker.pid" --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
    local end=$((SECONDS + 60))
    until dock version >/dev/null 2>&1; do
        ((SECONDS < end)) && kill -0 "$pid" 2>/dev/null || return
        sleep 0.2
    done
}
pod() { podman --root "$dir/pod" --runroot "$dir/podrun" --tmpdir "$dir/podtmp" --storage-driver vfs "$@"; }
dock() { docker --host "unix://$dir/docker.sock" --config "$dir/config/$user" "$@"; }
sko() { skopeo --insecure-policy "$@"; }
# crane's own log-in looks at nothing, so what it would keep is written here.
cra() {
    local config=$dir/config/crane-$user
    mkdir -p "$config"
    if [[ -n $user ]]; then
        printf '{"auths": {"%s": {"auth": "%s"}}}' "$host" "$(printf %s "$user:$word" | base64)" >"$config/config.json"
    fi
    DOCKER_CONFIG=$config crane --insecure "$@"
}
web() { # the status decides, see attempt
    local how=()
    [[ -z $user ]] || how=(-u "$user:$word")
    curl -sS -i "${how[@]}" "$@" | tr -d '\r'
}
by() { # src-|dest-|nothing: skopeo's flag
    if [[ -n $user ]]; then say "--$1creds=$user:$word"; else say "--${1}no-creds"; fi
}
pod_by() { # podman wants the file to be there
    if [[ -n $user ]]; then say "--creds=$user:$word"; else say "--authfile=$dir/config/none"; fi; }

login_skopeo() { sko login --tls-verify=false --authfile "$dir/config/skopeo" -u "$user" -p "$word" "$host"; }
login_podman() { pod login --tls-verify=false --authfile "$dir/config/podman" -u "$user" -p "$word" "$host"; }
login_docker() { rm -rf -- "$dir/config/$user" && dock login -u "$user" --password-stdin "$host" <<<"$word"; }

# An image, to a repository and a tag.
push_skopeo() { sko copy -q --preserve-digests --dest-tls-verify=false "$(by dest-)" "oci:$dir/$image:one" "docker://$host/$1:${2:-one}"; }
push_podman() { pod push -q --tls-verify=false "$(pod_by)" "docker.io/library/$image:one" "$host/$1:${2:-one}"; }
push_docker() { dock tag "$image:one" "$host/$1:${2:-one}" && dock push -q "$host/$1:${2:-one}"; }
push_crane() { cra push "$dir/$image" "$host/$1:${2:-one}"; }

pull_skopeo() { rm -rf -- "$dir/got" && sko copy -q --src-tls-verify=false "$(by src-)" "docker://$host/$1:one" "dir:$dir/got"; }
pull_podman() { pod rmi -f "$host/$1:one" "docker.io/library/$image:one" >/dev/null 2>&1; pod pull -q --tls-verify=false "$(pod_by)" "$host/$1:one"; }
pull_docker() { dock images -q | xargs -r docker --host "unix://$dir/docker.sock" rmi -f >/dev/null 2>&1; dock pull -q "$host/$1:one"; }
pull_crane() { cra pull "$host/$1:one" "$dir/got.tar"; }

tags_skopeo() { sko list-tags --tls-verify=false "$(by '')" "docker://$host/$1" | grep '"one"'; }
tags_crane() { cra ls "$host/$1" | grep one; }
tags_curl() { web "http://$host/v2/$1/tags/list"; }
delete_skopeo() { sko delete --tls-verify=false "$(by '')" "docker://$host/$1:one"; }
delete_crane() { local digest; digest=$(cra digest "$host/$1:one") && cra delete "$host/$1@$digest"; }

# podman and docker push what they have; pulling has removed it.
loaded() { # client
    case $1 in
        podman) pod load -q -i "$dir/$image.tar" >/dev/null ;;
        docker) dock load -q -i "$dir/$image.tar" >/dev/null ;;
    esac
}
made() { # name layers bytes
    rm -rf -- "${dir:?}/$1" "$dir/$1.tar"
    python3 "$root/benches/tokens_image.py" "$dir/$1" "$2" "$3" &&
        sko copy -q "oci:$dir/$1:one" "docker-archive:$dir/$1.tar:$1:one" || fail "cannot make an image"
}

# ---- the count

wrong=0 tried=0 faults=()
said() { # what a client printed last, in one line and without what differs from run to run
    local text pattern
    for pattern in 'denied|unauthori|forbidden|unavailable|invalid user|not supported' 'error|fatal' .; do
        text=$(grep -iE "$pattern" <<<"$1" | tail -n 1)
        [[ -z ${text// /} ]] || break
    done
    sed -E "s/^[[:space:]]*(time=[^ ]* level=fatal msg=)?//; s/127.0.0.1:[0-9]+/REGISTRY/g; s/[0-9a-f]{64}/<digest>/g" <<<"$text" |
        sed -E 's/^([0-9/]+ [0-9:]+ )//; s/[?&](account|client_id|offline_token|service)=[^&"]*//g' | cut -c 1-190
}
as() { # name [password]
    user=$1 word=${2-$1-1}
}
attempt() { # allowed|refused client action arguments...: as $user
    local expected=$1 client=$2 action=$3 outcome=refused text status mark=
    shift 3
    text=$(loaded "$client"; "${action}_$client" "$@" 2>&1 </dev/null)
    status=$?
    [[ $client != curl ]] || { [[ $text == 'HTTP/1.1 2'* ]]; status=$?; }
    ((status != 0)) || outcome=allowed
    ((++tried))
    [[ $outcome == "$expected" ]] || { mark="<-- should be $expected" && ((++wrong)) && faults+=("$part: $client: ${user:-nobody} $action $*"); }
    [[ $text != *'invalid character'* ]] || { mark="<-- no JSON" && ((++wrong)) && faults+=("$part: $client: no JSON"); }
    printf '%-7s %-7s %-22s %-8s %s %s\n' "$client" "${user:-nobody}" "$action $*" "$outcome" "$(said "$text")" "$mark"
}
each() { # allowed|refused action arguments...: by each client that can
    local client
    for client in "${clients[@]}"; do
        ! declare -F "$2_$client" >/dev/null || attempt "$1" "$client" "${@:2}"
    done
}
expect() { # what got wanted: the latter is a regular expression
    local mark=
    ((++tried))
    [[ $2 =~ ^($3)$ ]] || { mark="<-- should be $3" && ((++wrong)) && faults+=("$part: $1: $2"); }
    printf '%-62s %s %s\n' "$1" "${2:-nothing}" "$mark"
}
title() { part=$1; printf '\n== %s\n' "$1"; }
