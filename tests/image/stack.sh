# Runs the compose files in a copy of the repository, as in a fresh clone. Sourced by run.

export DOORWARD_IMAGE=doorward-image-test
nginx_image=doorward-image-test-nginx
images_made=no

images_make() { # builds the images of doorward and nginx, with the cache
    [[ $images_made == no ]] || return 0
    docker build --tag "$DOORWARD_IMAGE" "$root" >"$dir/build.log" 2>&1 &&
        docker build --tag "$nginx_image" --build-arg "BASE=$nginx_base" \
            --build-arg "DOORWARD_IMAGE=$DOORWARD_IMAGE" "$root/nginx" >>"$dir/build.log" 2>&1 ||
        { tail -n 30 "$dir/build.log" >&2; fail "the images cannot be built"; }
    images_made=yes
    [[ -n ${KEEP-} ]] || at_end "docker rmi $DOORWARD_IMAGE $nginx_image"
}

copies=0
fresh() { # sets $copy: the files of a clone, owned by a user other than root
    local file
    copy=$dir/copy.$((++copies))
    mkdir "$copy"
    if [[ -e $root/.git ]]; then
        (cd "$root" && git -c safe.directory="$root" ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
            tar -c --null --files-from -) | tar -x -C "$copy"
    else
        tar -C "$root" --exclude=./target -c . | tar -x -C "$copy"
    fi || fail "cannot copy the repository"
    chown -R 1000:1000 "$copy"
}

project= files=()
compose() { (cd "$copy" && "${compose_command[@]}" --project-name "$project" ${files[@]+"${files[@]}"} "$@"); }
container() { compose ps --quiet "$1" 2>/dev/null | head -n 1; }       # its id
addresses_of() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1"; }

# Starts a fresh copy: stack_up NAME [FILE...]. The files are those in compose/. Without a file it runs `docker compose up`.
# Settings are in the environment.
stack_up() {
    local file
    stack_down
    images_make
    fresh
    project=doorward-image-test-$1
    files=()
    shift
    (($# == 0)) || files=(-f compose.yaml)
    for file; do files+=(-f "compose/$file.yaml"); done
    compose up -d >"$dir/up.log" 2>&1 || { failed "compose up"; indent <"$dir/up.log"; return 1; }
}

stack_down() {
    [[ -n $project ]] || return 0
    compose down --volumes --remove-orphans --timeout 3 >/dev/null 2>&1
    project=
}
at_end stack_down

logs() { compose logs --no-color "$@" 2>&1; }
# Prints the generated password of admin, of 20 characters, from the log of `users` or from the input.
password_in() { sed -n 's/.*admin.* \([a-z2-9]\{20\}\)\>.*/\1/p' | tail -n 1; }
first_password() { logs users | password_in; }
add_user() { htpasswd -bBC 10 "$copy/access/htpasswd" "$1" "$2" 2>/dev/null; }

status() { # url [options of curl...]: prints the status, 000 without a response
    local code
    code=$(curl --silent --insecure --output /dev/null --max-time 20 --write-out '%{http_code}' "${@:2}" "$1")
    printf '%s\n' "${code:-000}"
}
answers() { [[ $(status "$1" "${@:3}") == "$2" ]]; }    # url status [options of curl...]

ready() { # url: waits until a client without a password is refused, so nginx and doorward work
    wait_until 60 answers "$1" 401 && return
    failed "$1 is not ready after 60 s: it returns $(status "$1")"
    compose ps | indent
    logs | indent 30
    return 1
}

# Builds an image of 20 layers, each with a file of random bytes. Two images never share a layer.
layered() { # name [size of a layer in KiB]
    local context=$dir/layers layer
    rm -rf "$context" && mkdir "$context" && echo 'FROM scratch' >"$context/Dockerfile" || return
    for layer in {1..20}; do
        head -c "$((${2:-256} * 1024))" /dev/urandom >"$context/$layer"
        echo "COPY $layer /" >>"$context/Dockerfile"
    done
    docker build --quiet --no-cache --tag "$1" "$context" >/dev/null 2>&1
}
