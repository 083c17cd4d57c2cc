# A service in a container of its own that says who somebody is: found by its name, over TLS, and gone for a while.

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
    docker run -d --name "$api" --network "${project}_outside" --network-alias api \
        --volume "$copy/api:/api:ro" --entrypoint nginx nginx:stable -c /api/nginx.conf -g 'daemon off;' >/dev/null

    turns "who the service knows is admitted" 20 answers "$url" 200 --user carol:c-secret
    same "another password is not" "$(status "$url" --user carol:other)" 401
    same "nor who has a line in the file that nobody asks" "$(status "$url" --user "admin:$(first_password)")" 401
    same "the service's groups count" "$(status "${url}team/app/tags/list" --user carol:c-secret)" 404
    same "and grant no more than they say" \
        "$(status "${url}team/app/blobs/uploads/" --user carol:c-secret --request POST)" 403
    check "check --probe finds it by its name" compose exec -T doorward /doorward check --probe

    docker stop --time 1 "$api" >/dev/null
    turns "it is gone, and who was cached goes on" 5 answers "$url" 200 --user carol:c-secret
    same "others can't be asked about" "$(status "$url" --user dave:d-secret)" 503
    docker start "$api" >/dev/null
    turns "it is back" 20 answers "$url" 200 --user dave:d-secret
    service_told() { logs doorward | grep -q 'verdict="unavailable".*authenticator api: '; }
    turns "what was wrong is told" 5 service_told && logs doorward | grep 'authenticator api: ' | indent 2
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
