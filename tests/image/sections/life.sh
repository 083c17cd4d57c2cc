# The container of doorward: restarts under load, users that are changed on the host, and its health check.

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
    answers "$url" 200 --user "$right" || { failed "the first user is not admitted"; return 1; }
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
load_flows() { # waits until the correct password is admitted 100 more times
    wait_until 60 load_passed $(($(load_good) + 100)) ||
        failed "under load, the user is not admitted for 60 s: $(cat "$dir/progress")"
}

load_end() { # name
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
    # As after a crash: the engine starts it again, while its old socket still exists.
    kill -KILL "$(status_of "$(container doorward)" Pid)" && load_flows
    note "killed"
    load_end "restarted, replaced and killed under load"
}

# The container starts again with another address, because its old one is in use.
life_new_address() {
    local before after id net
    export NGX_DOORWARD_SUBNET=${NGX_DOORWARD_SUBNET:-172.31.255.0/28}
    stack_up address tcp && ready "$url" && load_start || return
    id=$(container doorward)
    net=${project}_auth
    before=$(addresses_of "$id")
    docker stop "$id" >/dev/null
    docker run -d --name "$project-squatter" --network "$net" --ip "${before% }" --entrypoint sleep \
        "$nginx_base" infinity >/dev/null
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
    turns "a removed user is refused" 3 answers "$url" 401 "${bob[@]}"
    # Editors and `sed -i` replace the file by another one. It has the same owner.
    cp -p "$file" "$file.new" && htpasswd -bBC 10 "$file.new" bob "${bob[1]#bob:}" 2>/dev/null && mv "$file.new" "$file"
    turns "the file replaced, bob is admitted" 3 answers "$url" 200 "${bob[@]}"
    note "the file is now $(stat -c '%A %u:%g' "$file")"
}

# ---- health

health_is() { [[ $(status_of "$(container doorward)" Health.Status) == "$1" ]]; }
health_turns() { turns "$1: $2" "$3" health_is "$2"; }      # name status seconds
health_output() { compose exec -T doorward /doorward health 2>&1 | tail -n 1; }
is_degraded() { [[ $(health_output) == *degraded* ]]; }
was_restarted() { (($(docker inspect --format '{{.RestartCount}}' "$1") >= 1)); }     # container

life_health() {
    local file=$copy/access/htpasswd id right
    right=admin:$(first_password)
    id=$(container doorward)
    health_turns "running" healthy 30

    mv "$file" "$file.away"
    turns "the file is removed: health reports it" 10 is_degraded && note "$(health_output)"
    same "the file is removed: the last valid content is active" "$(status "$url" --user "$right")" 200

    docker restart -t 5 "$id" >/dev/null
    turns "no file at the start: the container exits, and is started again" 20 was_restarted "$id"
    note "$(logs doorward | tail -n 1 | sed 's/^[^|]*| *//')"
    same "no file at the start: the status for clients" "$(status "$url" --user "$right")" 503
    mv "$file.away" "$file"
    turns "the file exists again: clients are admitted" 60 answers "$url" 200 --user "$right"
    health_turns "the file exists again" healthy 30

    docker kill --signal STOP "$id" >/dev/null
    health_turns "the process stopped" unhealthy 90
    same "the process stopped: the status for clients" "$(status "$url" --user "$right")" 503
    docker kill --signal CONT "$id" >/dev/null
    health_turns "the process continues" healthy 30
    same "the process continues: the status for clients" "$(status "$url" --user "$right")" 200
}
