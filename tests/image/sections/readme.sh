# Runs each block of the README that a line `<!-- follow: NAME -->` marks, unchanged.

. "$here/machine.sh"
. "$here/trouble.sh"

section_readme() {
    local name
    followed=
    readme_docker
    stack_down
    readme_files
    stack_down
    trouble_untrusted
    trouble_http
    trouble_html
    trouble_mount
    if machine_start && readme_alone && readme_beside; then
        readme_service
        readme_from_nginx
    fi
    docker rm -f -v "$machine" >/dev/null 2>&1
    for name in $(sed -n 's/^<!-- follow: \(.*\) -->$/\1/p' "$root/README.md"); do
        [[ " $followed " == *" $name "* ]] || failed "no test runs the block $name"
    done
}

block() { # name
    awk -v mark="<!-- follow: $1 -->" '
        /^```/ && inside { exit }
        inside { print }
        /^```/ && found { inside = 1 }
        $0 == mark { found = 1 }' "$root/README.md"
}

# ---- with Docker, in a clone

# Replaces `docker compose` in a block by the compose command of this machine.
as_compose() { sed "s#^docker compose #${compose_command[*]} #"; }

here_follows() { # block [prompt answer]...
    local name=$1
    shift
    followed+=" $name"
    block "$name" | as_compose >"$dir/block"
    readme_types "$@" || { failed "$name"; indent 30 <"$dir/out"; return 1; }
    ok "$name: followed in $took s"
}
readme_types() { # [prompt answer]...: runs $dir/block in a terminal
    (cd "$copy" && timed quietly "$here/person.py" "$@" -- bash -ex "$dir/block"; status=$?; echo "$took" >"$dir/took"
        exit "$status")
    local status=$?
    took=$(<"$dir/took")
    return $status
}

readme_docker() {
    local url=https://localhost/v2/ address=localhost secret=Secret-$RANDOM$RANDOM
    unset "${!NGX_DOORWARD_@}"
    nginx_version_export
    if in_use 443; then
        free_port
        export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
        note "port 443 is in use; port $port is used instead"
        address=localhost:$port url=https://localhost:$port/v2/
    fi
    images_make
    fresh
    export COMPOSE_PROJECT_NAME=doorward-image-test-readme
    project=$COMPOSE_PROJECT_NAME files=()

    # The last line needs the password that the line before it prints.
    block docker | as_compose | sed "s/login localhost$/login $address/" >"$dir/all"
    grep -v 'docker login' "$dir/all" >"$dir/block"
    readme_types || { failed "docker"; indent 30 <"$dir/out"; return 1; }
    password=$(password_in <"$dir/out")
    ready "$url" || return
    grep 'docker login' "$dir/all" >"$dir/block"
    local up=$took
    if readme_types '[Uu]sername.*: *$' admin 'Password: *$' "$password" && grep -q 'Login Succeeded' "$dir/out"; then
        ok "docker: followed, the first two lines in $up s, the login in $took s"
        followed+=" docker"
    else
        failed "docker: login"
        indent <"$dir/out"
    fi
    docker logout "$address" >/dev/null 2>&1

    here_follows docker-users '([Pp]assword|Again).*: *$' "$secret" || return
    turns "docker-users: alice" 3 answers "$url" 200 --user "alice:$secret"
    turns "docker-users: bob" 3 answers "$url" 200 --user "bob:$secret"
    readme_own_pair "$url" "$secret"
    trouble_docker "$address" "$url" "$secret"
}

# Uses another certificate and key in tls/, and another host name in .env.
readme_own_pair() { # url secret
    local at=${NGX_DOORWARD_PUBLISH:-443} to
    to=registry.example.com:${at##*:}
    mkdir "$dir/pair" && mv "$copy"/tls/tls.* "$dir/pair"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=registry.example.com \
        -addext subjectAltName=DNS:registry.example.com -keyout "$copy/tls/tls.key" -out "$copy/tls/tls.crt" 2>/dev/null
    grep -o 'NGX_DOORWARD_SERVER_NAME=registry.example.com' "$root/README.md" >"$copy/.env"
    grep -o 'docker compose up -d --force-recreate nginx' "$root/README.md" | as_compose >"$dir/block"
    readme_types || { failed "own certificate"; indent <"$dir/out"; return; }
    own_pair_answers() {
        [[ $(curl -s -o /dev/null -w '%{http_code}' --cacert "$copy/tls/tls.crt" --resolve "$to:127.0.0.1" \
            --user "alice:$2" "https://$to/v2/") == 200 ]]
    }
    turns "own certificate and host name" 20 own_pair_answers "$@"
    same "a request for another name gets no handshake" "$(status "$1")" 000
    # Restores the created certificate, because compose does not create another one.
    rm "$copy/.env" && mv "$dir/pair"/tls.* "$copy/tls"
    compose up -d >/dev/null 2>&1
    ready "$1"
}

readme_files() {
    local file setting line names
    mapfile -t names < <(sed -n 's/^| `\(compose\/[a-z-]*\.yaml\)` .*/\1/p' "$root/README.md")
    same "files of compose/ in the table" "$(printf '%s\n' "${names[@]}" | sort | xargs)" \
        "$(cd "$root" && printf '%s\n' compose/*.yaml | sort | xargs)"
    for file in "${names[@]}"; do
        # The setting in the row, if there is one.
        setting=$(grep -F "| \`$file\`" "$root/README.md" | grep -oE '[A-Z_]+=[^`]+')
        check "$file${setting:+, $setting}" in_copy env ${setting:+"$setting"} "${compose_command[@]}" -f compose.yaml \
            -f "$file" config
    done
    line=$(grep -oE 'docker compose -f compose.yaml -f compose/http.yaml up -d' "$root/README.md" | as_compose)
    unset NGX_DOORWARD_PUBLISH
    if in_use 5000; then note "port 5000 is in use; $line is not run"; unset COMPOSE_PROJECT_NAME; return; fi
    project=$COMPOSE_PROJECT_NAME files=(-f compose.yaml -f compose/http.yaml)
    echo "$line" >"$dir/block"
    readme_types && ready http://127.0.0.1:5000/v2/ &&
        ok "${line##* -f }: at http://127.0.0.1:5000" || { failed "$line"; indent <"$dir/out"; }
    unset COMPOSE_PROJECT_NAME
}
in_copy() { (cd "$copy" && "$@"); }

# ---- without Docker

readme_alone() {
    local secret=Secret-$RANDOM
    machine_follows alone '([Pp]assword).*: *$' "$secret" || return
    check "alone: alice is admitted" grep -q '^HTTP/1.1 200' "$dir/out"
    in_shell 'pkill -x doorward; rm -f /srv/doorward/users'
}

readme_beside() {
    in_shell 'htpasswd -bBC 5 -c /etc/docker/registry/htpasswd carol carols 2>/dev/null &&
        chmod 644 /etc/docker/registry/htpasswd && systemctl restart docker-registry nginx'
    wait_until 20 registry_is 200 carol:carols || { failed "the registry's own htpasswd"; return 1; }
    ok "the registry's own htpasswd: carol is admitted, a client without a password is not ($(registry_says))"

    machine_follows install || return
    user=alice:$(grep -oE '^[a-z2-9]{20}$' "$dir/out")
    machine_follows service || return
    same "service: readyz" "$(tail -n 1 "$dir/out")" ready
    same "service: metrics" "$(on curl -s http://127.0.0.1:8001/metrics | sed -n 's/^doorward_htpasswd_users //p')" 1
    readme_sandbox
    readme_nginx || return
    turns "nginx: doorward checks users before the registry" 5 registry_is 401 "$user"
    in_shell "sed -i 's/addr: :5001/addr: 127.0.0.1:5001/; /^auth:/,\$d' /etc/docker/registry/config.yml
        systemctl restart docker-registry"
    wait_until 20 registry_is 200 "$user"
    machine_follows reload 'Enter host password.*: *$' "${user#*:}" || return
    same "reload: the two responses" "$(grep -oE '^HTTP/[0-9.]+ [0-9]+' "$dir/out" | cut -d ' ' -f 2 | xargs)" "401 200"
    check "reload: the challenge" grep -qi '^.*www-authenticate.*: Basic realm=' "$dir/out"
    same "the registry without nginx" "$(in_shell 'for at in $(hostname -I); do
        (: <>"/dev/tcp/$at/5001") 2>/dev/null && echo open; done; echo end')" end

    followed+=" from-registry"
    machine_follows from-registry || return
    turns "from the registry's own htpasswd: carol" 3 registry_is 200 carol:carols || return
    user=carol:carols       # the users of the other file do not exist any more
}

# Replaces the configuration of the registry by the one that doorward writes.
readme_nginx() {
    on rm /etc/nginx/conf.d/registry.conf
    machine_follows nginx || return
    in_shell 'nginx -t && systemctl reload nginx' >"$dir/out" 2>&1 || { failed nginx; indent <"$dir/out"; return 1; }
}

readme_sandbox() {
    local pid
    pid=$(on systemctl show -P MainPID doorward)
    same "sandbox: user" "$(on stat -c %U "/proc/$pid")" doorward
    same "sandbox: capabilities" "$(in_shell "sed -n 's/^Cap[A-Z][a-z]*:\t//p' /proc/$pid/status | sort -u")" \
        0000000000000000
    same "sandbox: no new privileges, filtered system calls" \
        "$(in_shell "sed -n 's/^\(NoNewPrivs\|Seccomp\):\t//p' /proc/$pid/status | xargs")" "1 2"
    same "sandbox: its own namespaces" "$(in_shell "for n in ipc mnt net user; do
        [ \$(readlink /proc/$pid/ns/\$n) = \$(readlink /proc/self/ns/\$n) ] || echo \$n; done" | xargs)" \
        "ipc mnt net user"
    same "sandbox: interfaces" "$(in_shell "grep -c : /proc/$pid/net/dev; grep -o '[a-z0-9]*:' /proc/$pid/net/dev" |
        xargs)" "1 lo:"
    refuses "sandbox: it can write no file" 'read-only' on touch "/proc/$pid/root"/etc/doorward/x
    refuses "sandbox: it can start no other program" 'permission denied' on nsenter -t "$pid" -m sh -c :
    at_most "sandbox: systemd-analyze security" "$(on systemd-analyze security --no-pager doorward 2>/dev/null |
        sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p')" 2 ""
}

readme_service() {
    local pid out
    # Continuous restarts while a client sends requests continuously.
    out=$(on timeout 60 bash -c 'cd /tmp; n=0
        curl -s -Z --no-progress-meter --parallel-max 4 --user "$0" -o /dev/null -w "%{http_code}\n" \
            "https://registry.example.com/v2/?[1-4000]" >codes 2>/dev/null & curl=$!
        while kill -0 $curl 2>/dev/null; do systemctl restart doorward && n=$((n + 1)); done
        echo "$n restarts: $(sort codes | uniq -c | xargs)"' "$user")
    [[ $out == *"restarts: 4000 200" ]] && ok "restarted under load, $out" || failed "restarted under load: $out"

    # With a long poll interval, only the reload applies the change.
    in_shell 'echo DOORWARD_RELOAD_POLL_INTERVAL=1h >/etc/doorward/environment && systemctl restart doorward'
    pid=$(on systemctl show -P MainPID doorward)
    in_shell 'htpasswd -bB /etc/doorward/htpasswd dave daves 2>/dev/null'
    same "a new user, with a poll interval of an hour" "$(registry_says dave:daves)" 401
    on systemctl reload doorward
    # The rejection is cached for some seconds. A new file ends that.
    turns "systemctl reload: dave" 3 registry_is 200 dave:daves
    same "systemctl reload: the process" "$(on systemctl show -P MainPID doorward)" "$pid"
    in_shell 'rm /etc/doorward/environment && systemctl restart doorward
        htpasswd -bB /etc/doorward/htpasswd erin erins 2>/dev/null'
    turns "an edit: erin" 2 registry_is 200 erin:erins
    in_shell 'htpasswd -D /etc/doorward/htpasswd erin 2>/dev/null'
    turns "an edit: erin is removed" 2 registry_is 401 erin:erins

    # systemd starts the service until the file exists again.
    in_shell 'mv /etc/doorward/htpasswd /srv/away; systemctl restart doorward' 2>/dev/null
    wait_until 30 in_shell '(($(systemctl show -P NRestarts doorward) > 5))' || failed "systemd stopped the restarts"
    in_shell 'mv /srv/away /etc/doorward/htpasswd'
    turns "no file at the start, then restored: admitted" 10 registry_is 200 "$user"
    trouble_machine
}

# Replaces auth_basic of nginx by doorward.
readme_from_nginx() {
    local before
    docker cp "$here/machine/registry.conf" "$machine:/etc/nginx/conf.d/registry.conf"
    on rm /etc/nginx/conf.d/doorward.conf
    in_shell "cd /etc/nginx && sed -i 's/#auth_basic/auth_basic/' conf.d/registry.conf
        { htpasswd -nbBC 5 frank franks; htpasswd -nbm gina ginas; htpasswd -nbd hugo hugos; } | grep . >htpasswd
        nginx -t && systemctl reload nginx" >"$dir/out" 2>&1 || { failed auth_basic; indent <"$dir/out"; return; }
    wait_until 5 registry_is 200 frank:franks
    same "auth_basic: frank (bcrypt), gina (apr1), hugo (DES)" \
        "$(registry_says frank:franks) $(registry_says gina:ginas) $(registry_says hugo:hugos)" "200 200 200"
    # The block ends with `check`, which fails.
    machine_types from-nginx && failed "from nginx's auth_basic: check accepts DES" ||
        check "from nginx's auth_basic: check reports the line with DES" grep 'htpasswd:3:.*DES' "$dir/out"
    readme_nginx || return
    moved() { registry_is 401 hugo:hugos && registry_is 200 frank:franks && registry_is 200 gina:ginas; }
    turns "from nginx's auth_basic: frank and gina, not hugo" 5 moved
    before=$(hashes)
    in_shell 'for i in {1..50}; do curl -s -o /dev/null -u frank:franks https://registry.example.com/v2/; done'
    same "difference: hashes for 50 more requests of frank" "$(($(hashes) - before))" 0
    in_shell 'htpasswd -bB /etc/doorward/htpasswd ines iness 2>/dev/null'
    turns "difference: no reload for a new user" 2 registry_is 200 ines:iness
    same "difference: a refusal" "$(on curl -s https://registry.example.com/v2/ | cut -c 1-34)" \
        '{"errors":[{"code":"UNAUTHORIZED",'
}
hashes() { on curl -s http://127.0.0.1:8001/metrics | awk '/^doorward_hash_checks_total/ { n += $2 } END { print n }'; }
