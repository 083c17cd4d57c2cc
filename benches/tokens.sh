#!/usr/bin/env bash
# The registry's token protocol with the clients that people use: through nginx in each of its ways (a registry behind
# passwords, both front doors, and a registry that verifies tokens by itself), to one or two real registries. Who may do
# what; what 20 layers cost in each way; a signing key that is changed in the middle of 200 layers; a layer that uploads for
# longer than its token lives; and what docker does with an identity token. It ends with 1 if an outcome is not the expected
# one.
#
#   CLIENTS="curl skopeo podman docker crane"   those to use; one that is not here, or can't run, is left out and named
#   REGISTRY=FILE   the registry, instead of docker-registry
#   REGISTRY3=FILE  another one, of version 3, which is tried too
#   PARTS="outcomes costs rotation long refresh"
#   SLOW=130        seconds for which the layer uploads; a token of a minute is taken for one more by most registries

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=benches/tokens_world.sh
. "$root/benches/tokens_world.sh"
# shellcheck source=benches/tokens_clients.sh
. "$root/benches/tokens_clients.sh"
need_doorward
need_nginx
need curl "install it: apt-get install curl"
need skopeo "install it: apt-get install skopeo"
need htpasswd "install it: apt-get install apache2-utils"
need python3 "install it: apt-get install python3"
registries=("$(command -v "${REGISTRY:-docker-registry}")") || fail "there is no ${REGISTRY:-docker-registry}; install it: apt-get install docker-registry"
[[ -z ${REGISTRY3-} ]] || registries+=("$REGISTRY3")
slow=${SLOW:-130}

version() { "$1" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1; }

# ---- who may do what

outcomes() { # mode
    image=small
    as ann; each allowed login
    as bob; each allowed login
    as dora; each allowed login
    as ann wrong; each refused login
    as ann; each allowed login
    as dora; each allowed push public/tools
    as dora; each allowed push secret/app
    as ann; each allowed push team/app
    each allowed push team/other
    # Another tag, or crane sees that there is nothing to push.
    each refused push public/tools new
    each refused push secret/app new
    as bob; each refused push team/app new
    each allowed pull team/app
    each allowed pull public/tools
    each refused pull secret/app
    as ''
    if [[ $1 == basic ]]; then
        # They ask /v2/ first, are refused there, and without a log-in give up; skopeo and podman show an empty one. crane
        # goes on without.
        for client in "${clients[@]}"; do
            case $client in
                skopeo | podman | docker) attempt refused "$client" pull public/tools ;;
                crane) attempt allowed crane pull public/tools ;;
            esac
        done
    else
        each allowed pull public/tools
    fi
    each refused pull team/app
    each refused push public/tools new
    as bob
    for client in "${clients[@]}"; do
        case $1/$client in
            on/curl) attempt refused curl tags team/app ;;      # a password is nothing to this registry
            */curl | */skopeo | */crane) attempt allowed "$client" tags team/app ;;
        esac
    done
    as ''; each refused tags team/app
    as ann; each refused delete team/app
    for client in "${clients[@]}"; do
        declare -F "delete_$client" >/dev/null || continue
        as dora; attempt allowed skopeo push team/app
        attempt allowed "$client" delete team/app
        as bob; attempt refused skopeo pull team/app
    done
    [[ $1 == basic ]] || expect "tokens that were asked for in all" "$(logged '"(GET|POST) /token')" '[1-9][0-9]*'
    expect "requests that nginx found too many" "$(logged '" 429 ')" 0
}

# ---- what 20 layers cost

cost() { # registry mode client
    local before begin took hashes what tokens
    as ann
    [[ $3 != docker ]] || login_docker >/dev/null 2>&1
    image=large
    loaded "$3"
    for what in push pull; do
        before=$(asked) hashes=$(metric doorward_hash_checks_total) tokens=$(logged '"(GET|POST) /token') begin=$EPOCHREALTIME
        "${what}_$3" "team/cost-$3" >/dev/null 2>&1 || expect "$3 can $what" no yes
        took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
        printf '%-8s %-8s %-7s %-5s %9s %7s %7s %9s\n' "$(version "$1")" "$2" "$3" "$what" "$(($(asked) - before))" \
            "$(($(logged '"(GET|POST) /token') - tokens))" "$(($(metric doorward_hash_checks_total) - hashes))" "$took"
    done
}
costs() {
    local program mode client
    title "what 20 layers cost"
    printf '%-8s %-8s %-7s %-5s %9s %7s %7s %9s\n' registry mode client what requests tokens hashes seconds
    for program in "${registries[@]}"; do
        for mode in basic beside on; do
            world "$program" $mode
            for client in "${clients[@]}"; do
                [[ $client != curl ]] || continue
                # Layers of its own, or some would mount what others have pushed.
                made large 20 20000
                cost "$program" $mode "$client"
            done
        done
    done
}

# ---- a signing key that is changed in the middle

kids() { "$doorward" token list --api-keys "$dir/token/keys.pem" --json | grep -oE '"kid": *"[^"]*"' | cut -d '"' -f 4; }
kid_of() { # token: what its header names
    local head=${1%%.*}
    while ((${#head} % 4)); do head+="="; done
    tr _- /+ <<<"$head" | base64 -d | grep -oE '"kid": *"[^"]*"' | cut -d '"' -f 4
}
token() { # user scope: a token, or nothing
    curl -s -u "$1:$1-1" "$realm?service=$service&scope=$2" | sed -nE 's/.*"access_token": *"([^"]*)".*/\1/p'
}
rotation() {
    local program old new begin count=0 bad=0 status given pushing
    for program in "${registries[@]}"; do
        title "registry $(version "$program"): a key changed in the middle of 200 layers"
        # So slow that the push outlasts a few tokens.
        world "$program" on 1m 25000
        "$doorward" token add --api-keys "$dir/token/keys.pem" >/dev/null || fail "no key was added"
        stop "$pid_registry"
        registry_starts "$program" on
        mapfile -t both < <(kids)
        old=${both[0]} new=${both[1]}
        as ann; image=many begin=$SECONDS
        expect "the first key signs before" "$(kid_of "$(token ann repository:team/app:pull)")" "$old"
        push_skopeo team/many >"$dir/push.out" 2>&1 &
        pushing=$! given=
        pids+=("$pushing")
        while kill -0 $pushing 2>/dev/null; do
            if ((SECONDS > begin + 20)) && [[ -z $given ]]; then
                "$doorward" token use "$new" --api-keys "$dir/token/keys.pem" >/dev/null || fail "no key was used"
                given=$SECONDS
            fi
            status=$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $(token bob repository:team/app:pull)" \
                "http://$host/v2/team/app/tags/list")
            # Nothing was pushed there; what counts is that it is not refused.
            ((++count))
            [[ $status == 404 ]] || ((++bad))
            sleep 0.1
        done
        wait $pushing
        expect "the push, whose key was changed $((given - begin)) of $((SECONDS - begin)) s after its begin" $? 0
        expect "the other key signs after" "$(kid_of "$(token ann repository:team/app:pull)")" "$new"
        expect "of $count tokens that were asked for and used meanwhile, refused" $bad 0
        expect "refusals in the push but for the ping and the end of a token" "$(logged '/v2/team/many/.*" 40[13] ')" '[0-3]'
        "$doorward" token remove "$old" --api-keys "$dir/token/keys.pem" >/dev/null || fail "no key was removed"
    done
}

# ---- a layer that takes longer than a token lives

long_one() { # client: in a shell of its own
    local begin=$SECONDS
    as "$2"
    "push_$1" "team/long-$1" >"$dir/long-$1.out" 2>&1
    say "$? $((SECONDS - begin))" >"$dir/long-$1.status"
}
long() {
    local program client status took mode all
    for program in "${registries[@]}"; do
        for mode in on beside; do
            # Where doorward verifies, it does not matter to which registry the layer goes.
            [[ $mode == on || $program == "${registries[0]}" ]] || continue
            title "registry $(version "$program"), $mode: a layer that uploads for $slow s, with tokens of 60 s"
            world "$program" $mode 1m $((1300000 / slow))
            image=big all=()
            for client in "${clients[@]}"; do
                [[ $client != curl ]] || continue
                as ann
                [[ $client != docker ]] || login_docker >/dev/null 2>&1
                loaded "$client"
                long_one "$client" ann &
                all+=($!)
            done
            pids+=("${all[@]}")
            wait "${all[@]}"
            for client in "${clients[@]}"; do
                [[ $client != curl ]] || continue
                read -r status took <"$dir/long-$client.status"
                expect "$client, $took s: $(said "$(<"$dir/long-$client.out")")" "$status" 0
            done
            expect "tokens that were asked for" "$(logged '"(GET|POST) /token')" '[1-9][0-9]*'
        done
    done
}

# ---- an identity token

refresh() {
    title "docker with an identity token in its configuration"
    [[ " ${clients[*]} " == *" docker "* ]] || { say "left out: there is no docker"; return; }
    world "${registries[0]}" on
    as dora; image=small
    attempt allowed skopeo push public/tools
    user=identity word=
    mkdir -p "$dir/config/identity"
    printf '{"auths": {"%s": {"auth": "%s", "identitytoken": "of-another-server"}}}' "$host" "$(printf '<token>:' | base64)" \
        >"$dir/config/identity/config.json"
    attempt refused docker pull public/tools
    expect "how it asked" "$(grep -oE '"(GET|POST) /token[^"]*" [0-9]+' "$dir/access.log" | tail -n 1)" '"POST /token HTTP/1.1" 404'
    as ann
    attempt allowed docker login
    attempt allowed docker pull public/tools
    expect "whether docker keeps a password and no identity token" "$(grep -c identitytoken "$dir/config/ann/config.json")" 0
}

# ---- all of it

settings
clients=() part=''
for client in ${CLIENTS:-curl skopeo podman docker crane}; do
    user=
    if can "$client"; then clients+=("$client"); else say "left out: $client, which is not here or can't run"; fi
done
mkdir -p "$dir/config" && printf '{}' >"$dir/config/none"
made small 2 20000
made many 200 5000
made big 1 1300000
for what in ${PARTS:-outcomes costs rotation long refresh}; do
    case $what in
        outcomes)
            for program in "${registries[@]}"; do
                for mode in basic beside on; do
                    title "registry $(version "$program"), $mode"
                    world "$program" $mode
                    outcomes $mode
                done
            done ;;
        costs | rotation | long | refresh) "$what" ;;
        *) fail "PARTS=$what is none of: outcomes costs rotation long refresh" ;;
    esac
done

say
say "$tried outcomes, $wrong of them wrong"
((wrong == 0)) || { printf '  %s\n' "${faults[@]}"; exit 1; }
