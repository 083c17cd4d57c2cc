# Provokes the symptoms in the table "When something is wrong" of the README, and compares the output with the table. Sourced
# by sections/readme.sh.

symptom() { # words command...: the table contains the words, and the command fails with them
    local words=$1
    shift
    sed -n '/^## When something is wrong/,/^## What/s/^| \([^|]*\)|.*/\1/p' "$root/README.md" | grep -qF -- "$words" ||
        failed "trouble: the table does not contain: $words"
    refuses "trouble: $words" "$words" "$@"
}

as_user() { # user password host: sets docker_as, with these credentials stored, valid or not
    local config=$dir/config.$1
    mkdir -p "$config"
    printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$3" "$(printf %s "$1:$2" | base64)" >"$config/config.json"
    docker_as=(docker --config "$config")
}

trouble_copy() { # user:password host
    [[ -e $dir/trouble.tar ]] || docker save --output "$dir/trouble.tar" "$DOORWARD_IMAGE"
    skopeo copy --dest-tls-verify=false --dest-creds "$1" "docker-archive:$dir/trouble.tar" "docker://$2/team/trouble"
}

trouble_docker() { # host[:port] url password: of alice, while the stack runs
    local host=$1 url=$2 secret=$3 i docker_as
    local skopeo=(skopeo inspect --creds "alice:$secret" "docker://$host/team/none")
    symptom 'status: 401 Unauthorized' docker login -u alice -p wrong "$host"
    symptom 'invalid username/password' podman login --tls-verify=false -u alice -p wrong "$host"
    docker tag "$DOORWARD_IMAGE" "$host/team/trouble"
    symptom 'no basic auth credentials' docker push "$host/team/trouble"
    [[ $host == *:* ]] || in_use 80 ||
        symptom 'dial tcp 127.0.0.1:80: connect: connection refused' docker pull "$host/team/none"
    as_user alice wrong "$host"
    symptom unauthorized "${docker_as[@]}" pull "$host/team/none"
    symptom 'unauthorized: authentication required' trouble_copy "alice:wrong" "$host"
    symptom 'x509: certificate signed by unknown authority' "${skopeo[@]}"
    for i in {1..12}; do status "$url" --user "zed:$i" >/dev/null; done
    as_user zed wrong "$host"
    symptom 'toomanyrequests' "${docker_as[@]}" pull "$host/team/none"
    symptom '429 Too Many Requests' docker login -u zed -p wrong "$host"
    as_user alice "$secret" "$host"
    same "trouble: another user meanwhile" "$(status "$url" --user "alice:$secret")" 200
    compose stop -t 3 doorward >/dev/null 2>&1
    symptom '503 Service Temporarily Unavailable' "${docker_as[@]}" pull "$host/team/none"
    symptom '503 Service Unavailable' docker login -u alice -p "$secret" "$host"
    symptom 'authentication is unavailable' curl -sk --fail-with-body -u "alice:$secret" "$url"
    compose start doorward >/dev/null 2>&1
    turns "trouble: doorward was started again" 20 answers "$url" 200 --user "alice:$secret"
    compose stop -t 3 registry >/dev/null 2>&1
    symptom '502 Bad Gateway' "${docker_as[@]}" pull "$host/team/none"
    symptom 'the registry is unavailable' curl -sk --fail-with-body -u "alice:$secret" "$url"
    compose start registry >/dev/null 2>&1
    docker rmi "$host/team/trouble" >/dev/null
}

# nginx is not a trusted peer, so doorward closes its connections.
trouble_untrusted() {
    local docker_as
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    stack_up untrusted tcp || return
    sed -i 's/\(DOORWARD_TRUSTED_PEERS:\).*/\1 192.0.2.77/' "$copy/compose/tcp.yaml"
    compose up -d >/dev/null 2>&1
    wait_until 30 answers "https://127.0.0.1:$port/v2/" 503 || failed "trouble: an untrusted nginx"
    as_user alice any "127.0.0.1:$port"
    symptom '503 Service Temporarily Unavailable' "${docker_as[@]}" pull "127.0.0.1:$port/team/none"
    symptom 'authentication is unavailable' curl -sk --fail-with-body "https://127.0.0.1:$port/v2/"
    check "trouble: the log of doorward has the untrusted peer" eval 'logs doorward | grep "untrusted peer"'
    stack_down
}

trouble_http() { # plain HTTP on an address other than loopback
    free_port
    export NGX_DOORWARD_PUBLISH=$gateway:$port
    stack_up plain http && ready "http://$gateway:$port/v2/" || return
    symptom 'server gave HTTP response to HTTPS client' docker login -u alice -p any "$gateway:$port"
    stack_down
    unset NGX_DOORWARD_PUBLISH
}

# nginx in front of a registry with its default error pages.
trouble_html() {
    local name=doorward-image-test-html
    free_port
    at_end "docker rm -f $name"
    docker run -d --name "$name" --publish "127.0.0.1:$port:80" "$nginx_base" >/dev/null
    wait_until 20 answers "http://127.0.0.1:$port/" 200
    docker exec "$name" sh -c 'cd /etc/nginx/conf.d &&
        echo "server { listen 80; location = /v2/ { return 200; } location /v2/ {
            limit_except GET { deny all; } root /nowhere; } }" >default.conf && nginx -s reload' >/dev/null 2>&1
    wait_until 20 answers "http://127.0.0.1:$port/v2/" 200
    docker tag "$DOORWARD_IMAGE" "127.0.0.1:$port/team/trouble"
    symptom "invalid character '<' looking for beginning of value" docker push "127.0.0.1:$port/team/trouble"
    docker rmi "127.0.0.1:$port/team/trouble" >/dev/null
    docker rm -f "$name" >/dev/null
}

# A mounted single file that is replaced outside.
trouble_mount() {
    local name=doorward-image-test-mount file=$dir/alone/htpasswd url
    mkdir -p "$dir/alone" && htpasswd -bBC 5 -c "$file" ann old 2>/dev/null && chmod 644 "$file"
    free_port
    url=http://127.0.0.1:$port/auth
    at_end "docker rm -f $name"
    docker run -d --name "$name" --publish "127.0.0.1:$port:8000" --volume "$file:/etc/doorward/htpasswd:ro" \
        --env DOORWARD_HTPASSWD=/etc/doorward/htpasswd --env DOORWARD_LISTEN=0.0.0.0:8000 \
        --env "DOORWARD_TRUSTED_PEERS=$gateway" "$DOORWARD_IMAGE" >/dev/null
    wait_until 20 answers "$url" 200 --user ann:old || { failed "trouble: mount"; docker logs "$name" 2>&1 | indent 3; }
    cp "$file" "$file.new" && htpasswd -bBC 5 "$file.new" ann new 2>/dev/null && mv "$file.new" "$file"
    ! wait_until 4 answers "$url" 200 --user ann:new && ok "trouble: a changed password does not apply" ||
        failed "trouble: a mounted single file was read again"
    docker rm -f "$name" >/dev/null
}

# Symptoms on the machine without Docker.
trouble_machine() {
    in_shell 'cp -p /etc/doorward/htpasswd /srv/good && head -c 100 /dev/zero >/etc/doorward/htpasswd'
    turns "trouble: doorward_htpasswd_outdated 1" 4 in_shell \
        'curl -s http://127.0.0.1:8001/metrics | grep -qx "doorward_htpasswd_outdated 1"'
    check "trouble: degraded" in_shell \
        'curl -s http://127.0.0.1:8001/readyz | grep degraded'
    same "trouble: the last valid file is active" "$(registry_says "$user")" 200
    in_shell 'doorward check --htpasswd /etc/doorward/htpasswd 2>&1; cp /srv/good /etc/doorward/htpasswd' | indent 1

    in_shell "sed -i.good 's#unix:/run/doorward/doorward.sock#127.0.0.1:5001#' /etc/nginx/conf.d/doorward.conf
        systemctl reload nginx"
    turns "trouble: another service answers the subrequest" 5 registry_is 503 "$user"
    check "trouble: unexpected status" in_shell 'grep "unexpected status" /var/log/nginx/error.log'
    in_shell "mv /etc/nginx/conf.d/doorward.conf.good /etc/nginx/conf.d/doorward.conf; systemctl reload nginx
        chgrp root /run/doorward/doorward.sock"
    turns "trouble: the socket has another group" 5 registry_is 503 "$user"
    in_shell 'grep -o "connect() to unix.*denied)" /var/log/nginx/error.log' | indent 1
    in_shell 'systemctl restart doorward.socket'
    turns "trouble: the group is correct again" 10 registry_is 200 "$user"
}
