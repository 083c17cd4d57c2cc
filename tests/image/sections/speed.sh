# The time of a push and a pull of an image of 20 layers by docker: with doorward, and with the alternatives.
#
#   ROUNDS=5

section_speed() {
    local round
    declare -gA at_of=() times=()
    kinds=(none doorward basic own)
    speed_up || return
    for ((round = 0; round <= ${ROUNDS:-5}; round++)); do
        speed_round "$round" || return
    done
    speed_report
}

speed_up() {
    local secret=speed$RANDOM$RANDOM kind
    for kind in "${kinds[@]}"; do free_port; at_of[$kind]=127.0.0.1:$port; done
    export NGX_DOORWARD_PUBLISH=${at_of[doorward]}
    export SPEED_NONE=${at_of[none]} SPEED_BASIC=${at_of[basic]} SPEED_OWN=${at_of[own]}
    stack_up speed http || return
    mkdir "$copy/speed"
    for kind in none basic own; do speed_conf "$kind" >"$copy/speed/$kind.conf"; done
    add_user speed "$secret"
    (umask 022 && htpasswd -bBC 10 -c "$copy/speed/htpasswd" speed "$secret" 2>/dev/null)
    cp "$here/speed.yaml" "$copy/compose/speed.yaml"
    files+=(-f compose/speed.yaml)
    compose up -d >"$dir/up.log" 2>&1 || { failed "compose up"; indent <"$dir/up.log"; return 1; }
    ready "http://${at_of[doorward]}/v2/" || return
    for kind in "${kinds[@]}"; do
        wait_until 60 answers "http://${at_of[$kind]}/v2/" 200 --user "speed:$secret" ||
            { failed "$kind is not ready"; return 1; }
        docker login --username speed --password-stdin "${at_of[$kind]}" <<<"$secret" >/dev/null 2>&1
    done
}

# The same proxy settings for all kinds, without the snippets of doorward.
speed_conf() { # kind
    cat <<END
upstream backend { server registry-$1:5000; keepalive 64; }
server {
    listen 80;
    client_max_body_size 0;
    access_log off;
    $([[ $1 == basic ]] && echo 'auth_basic Registry; auth_basic_user_file /etc/nginx/htpasswd;')
    location /v2/ {
        proxy_pass http://backend;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-Proto \$scheme;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_buffer_size 64k;
        proxy_buffers 4 64k;
        proxy_busy_buffers_size 128k;
    }
}
END
}

speed_image() { printf '%s/team/speed:%s' "${at_of[$1]}" "$2"; }      # kind round

# Runs one round. The order differs in each round. Round 0 fills connections and caches, and is not counted.
speed_round() { # round
    local i kind order=()
    for i in "${!kinds[@]}"; do order+=("${kinds[(i + $1) % ${#kinds[@]}]}"); done
    layered "doorward-image-test-speed:$1" || { failed "the image of 20 layers cannot be built"; return 1; }
    for kind in "${order[@]}"; do docker tag "doorward-image-test-speed:$1" "$(speed_image "$kind" "$1")"; done
    for kind in "${order[@]}"; do speed_time "$kind" push "$1" || return; done
    docker rmi "doorward-image-test-speed:$1" >/dev/null
    for kind in "${kinds[@]}"; do docker rmi "$(speed_image "$kind" "$1")" >/dev/null; done
    for kind in "${order[@]}"; do
        speed_time "$kind" pull "$1" || return
        docker rmi "$(speed_image "$kind" "$1")" >/dev/null
    done
}

speed_time() { # kind push|pull round
    local begin status
    begin=$(date +%s%N)
    docker "$2" --quiet "$(speed_image "$1" "$3")" >"$dir/out" 2>&1
    status=$?
    ((status == 0)) || { failed "$2 with $1"; indent 5 <"$dir/out"; return 1; }
    (($3 == 0)) || times[$1.$2]+=" $((($(date +%s%N) - begin) / 1000000))"
}

speed_report() {
    local kind
    printf '        %-30s %8s %8s %12s %12s\n' "median of ${ROUNDS:-5} rounds, ms" push pull "push, ratio" "pull, ratio"
    for kind in "${kinds[@]}"; do
        declare -n out_push="median_push_$kind" out_pull="median_pull_$kind"
        # shellcheck disable=SC2086
        out_push=$(median ${times[$kind.push]}) out_pull=$(median ${times[$kind.pull]})
        printf '        %-30s %8s %8s %12s %12s\n' "$(speed_name "$kind")" "$out_push" "$out_pull" \
            "$(speed_ratio "$kind.push" none.push)" "$(speed_ratio "$kind.pull" none.pull)"
    done
    ok "push and pull of 20 layers, compared"
    note "target: pull with doorward to pull with none, 1.05 or less"
    for kind in "${kinds[@]}"; do note "$kind: push${times[$kind.push]}; pull${times[$kind.pull]}"; done
}

# Prints the median of the ratios of all rounds. A slow round affects both sides of its ratio.
speed_ratio() { # kind.push kind.push
    local one other ratios=() i
    read -ra one <<<"${times[$1]}"
    read -ra other <<<"${times[$2]}"
    for i in "${!one[@]}"; do ratios+=("$(ratio "${one[i]}" "${other[i]}")"); done
    median "${ratios[@]}"
}

speed_name() {
    case $1 in
        none) echo "no authentication" ;;
        doorward) echo doorward ;;
        basic) echo "nginx auth_basic, bcrypt 10" ;;
        own) echo "registry's htpasswd, bcrypt 10" ;;
    esac
}
