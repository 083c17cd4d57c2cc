# An HTTP authenticator in its own container: its name, TLS, and an outage.

section_service() {
    local url api=doorward-image-test-api
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    stack_up service && ready "$url" || return
    service_files
    files=(-f compose.yaml -f compose/auth-backend.yaml)
    check "the arrangement is changed" compose up -d
    at_end "docker rm -f -v $api"
    docker run -d --name "$api" --network "${project}_egress" --network-alias api \
        --volume "$copy/api:/api:ro" --entrypoint nginx "$nginx_base" -c /api/nginx.conf -g 'daemon off;' >/dev/null

    turns "a user of the service is admitted" 20 answers "$url" 200 --user carol:c-secret
    same "a wrong password is refused" "$(status "$url" --user carol:other)" 401
    same "a user of the unused htpasswd file is refused" "$(status "$url" --user "admin:$(first_password)")" 401
    same "a group of the service grants a pull" "$(status "${url}team/app/tags/list" --user carol:c-secret)" 404
    same "a group of the service grants no push" \
        "$(status "${url}team/app/blobs/uploads/" --user carol:c-secret --request POST)" 403
    check "check --probe reaches the service by its name" compose exec -T doorward /doorward check --probe

    docker stop --time 1 "$api" >/dev/null
    turns "the service is down: a cached user is admitted" 5 answers "$url" 200 --user carol:c-secret
    same "the service is down: another user gets 503" "$(status "$url" --user dave:d-secret)" 503
    docker start "$api" >/dev/null
    turns "the service is up again" 20 answers "$url" 200 --user dave:d-secret
    service_logged() { logs doorward | grep -q 'verdict="unavailable".*authenticator api: '; }
    turns "the log has the failure of the service" 5 service_logged && logs doorward | grep 'authenticator api: ' | indent 2
    docker rm -f -v "$api" >/dev/null
}

service_files() {
    local pair kind
    mkdir "$copy/api"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=api \
        -addext subjectAltName=DNS:api -addext basicConstraints=critical,CA:FALSE -keyout "$copy/api/api.key" -out "$copy/api/api.crt" 2>/dev/null
    {
        printf 'events {}\nhttp {\n'
        for kind in client_body proxy fastcgi uwsgi scgi; do printf '    %s_temp_path /tmp/%s;\n' "$kind" "$kind"; done
        printf '    server {\n        listen 443 ssl;\n'
        printf '        ssl_certificate /api/api.crt;\n        ssl_certificate_key /api/api.key;\n'
        printf '        default_type application/json;\n'
        for pair in carol:c-secret dave:d-secret; do
            printf '        if ($http_authorization = "Basic %s") { return 200 '"'"'{"teams":["devs"]}'"'"'; }\n' \
                "$(printf %s "$pair" | base64)"
        done
        printf '        return 401;\n    }\n}\n'
    } >"$copy/api/nginx.conf"
    cp "$copy/api/api.crt" "$copy/access/api.crt"
    cat >"$copy/access/doorward.toml" <<'TOML'
policy.file = "/etc/doorward/policy.toml"

[[authenticator]]
type = "http"
name = "api"
url = "https://api/me"
headers = { Authorization = "Basic {basic}" }
groups = [{ pointer = "/teams" }]
ca_file = "/etc/doorward/api.crt"
TOML
    printf '[[grant]]\ngroups = ["devs"]\nrepositories = ["team/**"]\nactions = ["pull"]\n' >"$copy/access/policy.toml"
}
