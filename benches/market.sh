#!/usr/bin/env bash
# A marketplace of images from the reservation of a name to the revocation of a key, with the clients that people use,
# through nginx to a real registry that verifies doorward's tokens: examples/marketplace.toml and then
# examples/marketplace-files.toml, as they are. Beside each step that must work stands who must not be able to do it. Then
# how long it takes from a purchase to a pull that works, and from a revocation to a refusal: of a request for a token, and
# of a pull with a token that was out already. It ends with 1 if an outcome is not the expected one.
#
# acme reserves `camera` and sells camera.pro and camera.team, zoe sells lens.one; carl buys camera.pro, dora nothing.
#
#   CLIENTS="skopeo podman docker"  those to use; one that is not here, or can't run, is left out and named
#   REGISTRY=FILE                   the registry, instead of docker-registry
#   ROUNDS=10                       purchases and revocations that are timed
#   OUT=yes                         whether to wait for the end of a token that is out: two minutes for each way

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
need python3 "install it: apt-get install python3"
registry=${REGISTRY:-docker-registry}
need "$registry" "install it: apt-get install docker-registry"
rounds=${ROUNDS:-10}
export service=registry.example.com     # of the examples
pro=camera/camera.pro port_shop='' pid_shop=''

# ---- what is there

ports() {
    local name
    for name in nginx doorward public admin registry shop; do
        free_port
        printf -v "port_$name" %s "$port"
    done
    host=127.0.0.1:$port_nginx realm=http://127.0.0.1:$port_nginx/token
}
market() { # asked|files: everything anew
    local settings=marketplace file
    no_market
    rm -rf -- "$dir/storage" "$dir/market" "$dir/config"
    mkdir "$dir/market" "$dir/config" || fail "cannot write to $dir"
    printf '{}' >"$dir/config/none"
    : >"$dir/access.log"
    touch "$dir/market/groups" "$dir/market/keys"
    say of-a-bench >"$dir/shop-key"
    say the-admin-token-of-a-bench >"$dir/admin-token"
    [[ $1 == asked ]] || settings=marketplace-files
    for file in $settings marketplace-policy; do
        sed "s|https://shop.example.com|http://127.0.0.1:$port_shop|; s|/etc/doorward|$dir|" "$root/examples/$file.toml" \
            >"$dir/$file.toml"
    done
    signing_keys
    if [[ $1 == asked ]]; then
        start shop python3 "$root/benches/market_shop.py" "$port_shop" asked of-a-bench "http://127.0.0.1:$port_admin/flush" \
            "$dir/admin-token"
    else
        start shop python3 "$root/benches/market_shop.py" "$port_shop" files "$dir/market"
    fi
    pid_shop=$pid
    start doorward "$doorward" serve --config "$dir/$settings.toml" --listen "127.0.0.1:$port_doorward" \
        --admin-listen "127.0.0.1:$port_admin" --public-listen "127.0.0.1:$port_public"
    pid_doorward=$pid
    wait_for doorward "$port_admin" /readyz
    until in_use "$port_shop"; do sleep 0.05; done
    registry_starts "$(command -v "$registry")" on
    nginx_starts on "$port_registry"
}
no_market() {
    [[ -z $pid_shop ]] || stop "$pid_shop"
    pid_shop=''
    no_world
}
shop() { # path arguments...: what somebody does on the marketplace's pages; prints what it says
    local path=$1 fields=() field
    shift
    for field; do fields+=(--data-urlencode "$field"); done
    # In the query, and nevertheless a POST.
    curl -sS -f -G -X POST "http://127.0.0.1:$port_shop/$path" "${fields[@]}"
}

# ---- the steps

begun=0
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; } # a moment
step() { # what: it is done on the marketplace's pages; the rest are the arguments of `shop`
    local what=$1 begin=$EPOCHREALTIME text mark=
    shift
    ((++tried))
    text=$(shop "$@" 2>&1) || { mark="<-- failed: $text" && ((++wrong)); }
    given=$text
    printf '%7s s  %6s s  %-8s %-6s %-28s %s\n' "$(since "$begun")" "$(since "$begin")" '' '' "$what" "$mark"
}
in_short() { # the first of what a registry said, where a client prints all of it
    said "$1" | sed -E 's/^.*errors:\\n//; s/\\n.*//; s/^.*(denied: |invalid username)/\1/' | cut -c 1-90
}
# One thing with one client. docker has only the log-in that it keeps, so it logs in first; who may not is refused by that.
one() { # allowed|refused client action arguments...: as $user, with $word
    local expected=$1 client=$2 action=$3 outcome=refused begin text mark=
    shift 3
    loaded "$client"
    begin=$EPOCHREALTIME
    if text=$(
        if [[ $client == docker && $action != login ]]; then
            [[ -z $user ]] || login_docker || exit
        fi 2>&1
        "${action}_$client" "$@" 2>&1 </dev/null
    ); then outcome=allowed; fi
    ((++tried))
    [[ $outcome == "$expected" ]] || { mark="<-- should be $expected" && ((++wrong)); }
    [[ -z $word || $text != *"$word"* ]] || { mark+="<-- tells the key" && ((++wrong)); }
    printf '%7s s  %6s s  %-8s %-6s %-28s %-8s %s %s\n' "$(since "$begun")" "$(since "$begin")" "$client" "${user:-nobody}" \
        "$action $*" "$outcome" "$(in_short "$text")" "$mark"
}
all() { # the same with each client
    local client
    for client in "${clients[@]}"; do one "$1" "$client" "${@:2}"; done
}
declare -A key=()
new_key() { # account name [seconds]
    step "a key for $1: $2" key account="$1" name="$2" ${3:+seconds="$3"}
    key[$1.$2]=$given
}
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; } # curl's arguments
token_of() { # account key scope: a token, whatever it is good for; nothing where there is none
    curl -s -u "$1:$2" "$realm?service=$service&scope=$3" | sed -nE 's/.*"access_token": *"([^"]*)".*/\1/p'
}
types=application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json
manifest() { # token: the status of a pull with it
    status -H "Authorization: Bearer $1" -H "Accept: $types" "http://$host/v2/$pro/manifests/one"
}
in_force() { # a change is read within two seconds
    [[ $1 == asked ]] || sleep 2
}
sale() { # asked|files
    local catalogue
    image=small begun=$EPOCHREALTIME
    for name in acme.ci zoe.ci carl.server carl.laptop dora.server; do new_key "${name%.*}" "${name#*.}"; done
    new_key carl over 1
    in_force "$1"
    as acme "${key[acme.ci]}"; all allowed login; all refused push $pro
    step "acme reserves camera" reserve account=acme name=camera
    step "zoe reserves lens" reserve account=zoe name=lens
    in_force "$1"
    as acme "${key[acme.ci]}"; all allowed push $pro; one allowed skopeo push camera/camera.team; all refused push lens/lens.one
    as zoe "${key[zoe.ci]}"; one allowed skopeo push lens/lens.one; all refused push $pro new; all refused pull $pro
    as carl "${key[carl.server]}"; all allowed login; all refused pull $pro
    step "carl buys camera.pro" buy account=carl offer=camera.pro
    in_force "$1"
    all allowed pull $pro
    all refused push $pro new
    all refused push camera.pro/camera.pro
    all refused pull camera/camera.team
    as dora "${key[dora.server]}"; all refused pull $pro
    as '' ''; all refused pull $pro; all refused push $pro new
    as carl wrong; all refused login; all refused pull $pro
    as carl "${key[carl.over]}"; all refused login; all refused pull $pro
    as carl "${key[dora.server]}"; all refused pull $pro
    catalogue=$(token_of acme "${key[acme.ci]}" 'registry:catalog:*')
    expect "the catalogue, with what acme is given for it" \
        "$(status -H "Authorization: Bearer $catalogue" "http://$host/v2/_catalog")" 401
    for name in camera.pro camera; do
        expect "whether zoe can reserve $name too" \
            "$(status -X POST "http://127.0.0.1:$port_shop/reserve?account=zoe&name=$name")" 409
    done
    step "carl revokes his key server" revoke key="${key[carl.server]}"
    in_force "$1"
    as carl "${key[carl.server]}"; all refused login; all refused pull $pro
    as carl "${key[carl.laptop]}"; all allowed pull $pro
    step "the purchase is withdrawn" refund account=carl offer=camera.pro
    in_force "$1"
    all refused pull $pro
    as acme "${key[acme.ci]}"; all allowed pull $pro
}

# ---- how long it takes

now() { say "${EPOCHREALTIME/./}"; }
within() { # seconds command...: the milliseconds until it succeeds; not more often than nginx lets one ask
    local begin most=$1
    begin=$(now)
    shift
    until "$@"; do
        (($(now) - begin < most * 1000000)) || return 1
        sleep 0.05
    done
    say "$((($(now) - begin) / 1000))"
}
pulls() { [[ $(manifest "$(token_of "$1" "$2" "repository:$pro:pull")") == 200 ]]; }        # account key
pulls_not() { [[ $(manifest "$(token_of "$1" "$2" "repository:$pro:pull")") == 401 ]]; }
no_token() { [[ $(status -u "$1:$2" "$realm?service=$service&scope=repository:$pro:pull") == 401 ]]; }
ends() { [[ $(manifest "$1") == 401 ]]; }                   # token
timed() { # what times...
    local what=$1
    shift
    ((++tried))
    (($# == rounds)) || { ((++wrong)); what+=" <-- $# of $rounds"; }
    (($#)) || { say "$what"; return; }
    printf '%-58s %5s ms (median of %s; %s ms)\n' "$what" "$(median "$@")" $# \
        "$(printf '%s\n' "$@" | sort -n | sed -n '1p;$p' | paste -sd '-' | sed 's/-/ to /')"
}
after() { # command... -- condition...: the milliseconds from the beginning of a change to the first time that it shows
    local change=() begin
    while [[ $1 != -- ]]; do change+=("$1"); shift; done
    shift
    begin=$(now)
    shop "${change[@]}" >/dev/null || return
    within 10 "$@" >/dev/null || return
    say "$((($(now) - begin) / 1000))"
}
times() { # asked|files
    local round one who doomed bought=() withdrawn=() revoked=() laptop=${key[carl.laptop]}
    for ((round = 0; round < rounds; round++)); do
        one=$(after buy account=carl offer=camera.pro -- pulls carl "$laptop") && bought+=("$one")
        one=$(after refund account=carl offer=camera.pro -- pulls_not carl "$laptop") && withdrawn+=("$one")
        # Somebody else each time: keys that are refused count as guesses, of which there are ten for a user.
        who=buyer$round doomed=$(shop key account="buyer$round" name=doomed)
        shop buy account="$who" offer=camera.pro
        within 10 pulls "$who" "$doomed" >/dev/null
        one=$(after revoke key="$doomed" -- no_token "$who" "$doomed") && revoked+=("$one")
    done
    timed "from a purchase to the first pull that works" "${bought[@]}"
    timed "from a withdrawal to the first new pull that is refused" "${withdrawn[@]}"
    timed "from a key's revocation to the first token refused" "${revoked[@]}"
    [[ ${OUT:-yes} == yes ]] || return
    shop buy account=carl offer=camera.pro
    within 10 pulls carl "$laptop" >/dev/null
    doomed=$(token_of carl "$laptop" "repository:$pro:pull")
    shop revoke key="$laptop"
    one=$(within 150 ends "$doomed")
    expect "from a revocation to the end of a token that was out, in ms" "$one" '(5|6|7|8|9|10|11|12)[0-9]{4}'
}

# ---- all of it

ports
nginx_files
clients=()
for client in ${CLIENTS:-skopeo podman docker}; do
    user=
    if can "$client"; then clients+=("$client"); else say "left out: $client, which is not here or can't run"; fi
done
made small 2 20000
for way in asked files; do
    title "doorward and the marketplace: $way"
    market $way
    sale $way
    times $way
    expect "requests that nginx found too many" "$(logged '" 429 ')" 0
done

say
say "outcomes $tried, wrong $wrong"
((wrong == 0)) || exit 1
