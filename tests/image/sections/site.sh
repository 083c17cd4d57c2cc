# A site behind nginx and doorward, and the image of nginx with another auth service.

section_site() {
    site_compose
    stack_down
    site_foreign
}

site_compose() {
    local password url
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH
    stack_up site site && ready "$url/" || return
    password=$(first_password)
    same "curl without a password" "$(status "$url/")" 401
    same "curl with a wrong password" "$(status "$url/" --user admin:wrong)" 401
    same "curl -u" "$(curl --silent --insecure --user "admin:$password" "$url/any/page")" "Hello, admin!"
    same "a client's own X-Auth-User" \
        "$(curl --silent --insecure --user "admin:$password" --header 'X-Auth-User: root' "$url/")" "Hello, admin!"
    same "containers of the registry" "$(container registry)" ""
    note "the response to a refused client:" && curl --silent --insecure --include "$url/" | tr -d '\r' | indent
}

# The image of nginx needs two settings: the upstream and the auth service, which is a few lines of Python here.
site_foreign() {
    local net=doorward-image-test-foreign url
    docker build --quiet --tag doorward-image-test-foreign "$here/foreign" >"$dir/build.log" 2>&1 ||
        { failed "the other auth service cannot be built"; indent <"$dir/build.log"; return; }
    at_end "docker rm -f $net-{auth,site,nginx}; docker network rm $net; docker rmi doorward-image-test-foreign"
    free_port
    url=http://127.0.0.1:$port
    images_make
    docker network create "$net" >/dev/null
    docker run -d --name "$net-auth" --network "$net" doorward-image-test-foreign >/dev/null
    docker run -d --name "$net-site" --network "$net" "$nginx_base" >/dev/null
    docker run -d --name "$net-nginx" --network "$net" --publish "127.0.0.1:$port:80" \
        --env "NGX_DOORWARD_UPSTREAM=$net-site:80" --env "NGX_DOORWARD_AUTH=http://$net-auth:9000/check" \
        --env NGX_DOORWARD_PLAIN_HTTP=on "$nginx_image" >/dev/null
    wait_until 30 answers "$url/" 401 || {
        failed "nginx's image is not ready after 30 s: it returns $(status "$url/")"
        docker logs "$net-nginx" 2>&1 | indent
        return
    }
    same "other auth service: without a password" "$(status "$url/")" 401
    same "other auth service: with a wrong password" "$(status "$url/" --user guest:wrong)" 401
    same "other auth service: curl -u" "$(status "$url/" --user guest:guest)" 200
    check "the page comes from the site" eval 'curl --silent --user guest:guest "'"$url"'/" | grep -qi "welcome to nginx"'
    docker stop -t 1 "$net-auth" >/dev/null
    same "the auth service is down" "$(status "$url/" --user guest:guest)" 503
    docker start "$net-auth" >/dev/null
    turns "the auth service is up: admitted again" 20 answers "$url/" 200 --user guest:guest
    docker rm -f "$net"-{auth,site,nginx} >/dev/null
    docker network rm "$net" >/dev/null
}
