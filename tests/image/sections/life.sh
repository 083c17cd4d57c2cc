# What happens to doorward's container under load, the users changed on the host, and its health.

section_life() {
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    life_replaced
    life_users
    life_health
    stack_down
    life_new_address
}

# ---- load

load_start() {
    right=admin:$(first_password)
    answers "$url" 200 --user "$right" || { failed "the first user does not get in"; return 1; }
    rm -f "$dir/progress"
    mkfifo "$dir/load.in"
    python3 "$here/load.py" "$url" "$right" "$dir/progress" <"$dir/load.in" >"$dir/load.out" 2>&1 &
    load_pid=$!
    at_end "stop $load_pid"
    exec 9>"$dir/load.in"
    rm "$dir/load.in"
    load_flows
}

load_good() {
    local good
    good=$(sed -n 's/.*"right 200": \([0-9]*\).*/\1/p' "$dir/progress" 2>/dev/null)
    printf %s "${good:-0}"
}
load_passed() { (($(load_good) >= $1)); }
load_flows() { # until the right password gets in again, 100 times from now
    wait_until 60 load_passed $(($(load_good) + 100)) ||
        failed "under load, nobody gets in any more after 60 s: $(cat "$dir/progress")"
}

load_end() { # what
    local out
    exec 9>&-
    wait "$load_pid"
    out=$(sort "$dir/load.out" | uniq -c | sort -rn)
    [[ -z $out ]] && ok "$1" || { failed "$1"; indent 10 <<<"$out"; }
    note "$(cat "$dir/progress")"
}

# ---- restart and replacement

life_replaced() {
    stack_up life && ready "$url" && load_start || return
    timed compose restart -t 10 doorward >/dev/null 2>&1 && load_flows
    note "restarted in $took s"
    timed compose up -d --force-recreate --no-deps doorward >/dev/null 2>&1 && load_flows
    note "replaced in $took s"
    # As a fault would end it; the engine starts it again, and what is left of its socket is in the way.
    kill -KILL "$(status_of "$(container doorward)" Pid)" && load_flows
    note "killed"
    load_end "restarted, replaced and killed under load"
}

# The container that comes back finds its address taken.
life_new_address() {
    local before after id net
    export NGX_DOORWARD_SUBNET=${NGX_DOORWARD_SUBNET:-172.31.255.0/28}
    stack_up address tcp && ready "$url" && load_start || return
    id=$(container doorward)
    net=${project}_question
    before=$(addresses_of "$id")
    docker stop "$id" >/dev/null
    docker run -d --name "$project-squatter" --network "$net" --ip "${before% }" --entrypoint sleep \
        nginx:stable infinity >/dev/null
    at_end "docker rm -f $project-squatter"
    docker start "$id" >/dev/null
    after=$(addresses_of "$id")
    [[ -n $after && $after != "$before" ]] && ok "doorward moved from $before to $after" ||
        failed "doorward did not move from $before: ${after:-gone}"
    load_flows
    load_end "a new address under load"
    docker rm -f "$project-squatter" >/dev/null 2>&1
}

# ---- users

life_users() {
    local file=$copy/access/htpasswd bob=(--user "bob:$RANDOM$RANDOM$RANDOM")
    check "htpasswd adds bob on the host" add_user bob "${bob[1]#bob:}"
    turns "bob is admitted" 3 answers "$url" 200 "${bob[@]}"
    htpasswd -D "$file" bob 2>/dev/null
    turns "bob removed is refused" 3 answers "$url" 401 "${bob[@]}"
    # As editors and `sed -i` do, by another file in its place; with the owner that this one has.
    cp -p "$file" "$file.new" && htpasswd -bBC 10 "$file.new" bob "${bob[1]#bob:}" 2>/dev/null && mv "$file.new" "$file"
    turns "the file replaced, bob is admitted" 3 answers "$url" 200 "${bob[@]}"
    note "the file is now $(stat -c '%A %u:%g' "$file")"
}

# ---- health

health_is() { [[ $(status_of "$(container doorward)" Health.Status) == "$1" ]]; }
health_turns() { turns "$1: $2" "$3" health_is "$2"; }      # what status seconds
health_says() { compose exec -T doorward /doorward health 2>&1 | tail -n 1; }
is_degraded() { [[ $(health_says) == *degraded* ]]; }
was_restarted() { (($(docker inspect --format '{{.RestartCount}}' "$1") >= 1)); }     # container

life_health() {
    local file=$copy/access/htpasswd id right
    right=admin:$(first_password)
    id=$(container doorward)
    health_turns "running" healthy 30

    mv "$file" "$file.away"
    turns "the file gone: health says so" 10 is_degraded && note "$(health_says)"
    same "the file gone: the last good one is in force" "$(status "$url" --user "$right")" 200

    docker restart -t 5 "$id" >/dev/null
    turns "the file gone at the start: it ends, and is started again" 20 was_restarted "$id"
    note "$(logs doorward | tail -n 1 | sed 's/^[^|]*| *//')"
    same "the file gone at the start: what clients get" "$(status "$url" --user "$right")" 503
    mv "$file.away" "$file"
    turns "the file back: clients get in" 60 answers "$url" 200 --user "$right"
    health_turns "the file back" healthy 30

    docker kill --signal STOP "$id" >/dev/null
    health_turns "the process stopped" unhealthy 90
    same "the process stopped: what clients get" "$(status "$url" --user "$right")" 503
    docker kill --signal CONT "$id" >/dev/null
    health_turns "the process goes on" healthy 30
    same "the process goes on: what clients get" "$(status "$url" --user "$right")" 200
}
