# The files that the first start creates. It must never replace links and folders, and create nothing in a share that is
# not mounted. It must fail if the engine does not see the files beside compose.yaml.

section_files() {
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    local file
    files_made
    # Each line: a file, what exists at its path, a container and the message in its log.
    for file in tls/tls.crt tls/tls.key; do
        files_kept "$file" dangling tls 'is a link to /nowhere/at/all, which does not exist'
        files_kept "$file" out tls 'is a link to .*/outside, which does not exist'
        files_kept "$file" folder tls 'is a directory, and must be a file'
    done
    files_kept access/htpasswd dangling users 'is a link to /nowhere/at/all, which does not exist'
    files_kept access/htpasswd out users 'is a link to .*/outside, which does not exist'
    files_kept access/htpasswd folder users 'is a directory, not a file'
    files_inside
    files_unmounted
    files_no_folder
    files_alone
    files_windows
}

# Lists the files in the two folders that a clone does not have. A link is printed with its target.
files_list() {
    (cd "$copy" && find access tls -mindepth 1 ! -name .gitignore -printf '%p %y %l\n' 2>/dev/null | sort)
}

# Creates a fresh copy without starting it.
files_copy() { # name
    stack_down
    images_make
    fresh
    project=doorward-image-test-$1
    files=()
}

files_made() {
    stack_up made && ready "$url" || return
    same "a fresh clone: created files" "$(files_list | tr -d '\n')" \
        'access/htpasswd f tls/tls.crt f tls/tls.key f '
    check "a second start" compose up -d
}

# Creates a link or folder at the path of a file that the start would create. compose must fail, the log of the container
# must have the reason, and no file may have been created.
files_kept() { # file kind service pattern
    local before log
    files_copy kept
    echo theirs >"$copy/outside"
    case $2 in
        dangling) ln -s /nowhere/at/all "$copy/$1" ;;
        out) ln -s "$copy/outside" "$copy/$1" ;;
        folder) mkdir "$copy/$1" ;;
    esac
    before=$(files_list | grep "^${1%/*}/")
    compose up -d >"$dir/up.log" 2>&1 && failed "$2 instead of $1: compose up succeeds"
    log=$(logs "$3")
    grep -Eq -- "$4" <<<"$log" && ok "$2 instead of $1: the log has the reason" ||
        { failed "$2 instead of $1: the log has no reason"; indent <<<"$log"; indent <"$dir/up.log"; }
    grep -E -- "$4" <<<"$log" | indent 1
    same "$2 instead of $1: the files" "$(files_list | grep "^${1%/*}/")" "$before"
    same "$2 instead of $1: the file outside" "$(cat "$copy/outside")" theirs
}

# A link to a file in the same folder also works in the container.
files_inside() {
    local password=$RANDOM$RANDOM$RANDOM
    files_copy inside
    htpasswd -bcBC 10 "$copy/access/users" alice "$password" 2>/dev/null
    ln -s users "$copy/access/htpasswd"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
        -keyout "$copy/tls/mine.key" -out "$copy/tls/mine.crt" 2>/dev/null
    chmod 644 "$copy/access/users" "$copy/tls/mine.key"
    ln -s mine.key "$copy/tls/tls.key"
    ln -s mine.crt "$copy/tls/tls.crt"
    chown -hR 1000:1000 "$copy"
    local before
    before=$(files_list)
    check "links within the folder: compose up" compose up -d
    ready "$url" || return
    same "links within the folder: a user of the file" "$(status "$url" --user "alice:$password")" 200
    same "links within the folder: the files" "$(files_list)" "$before"
}

# The share is not mounted at a later start, so its folder is empty.
files_unmounted() {
    local folder service
    for folder in access tls; do
        stack_up share && ready "$url" || return
        compose stop -t 3 >/dev/null 2>&1
        mkdir "$copy/away"
        mv "$copy/$folder"/[!.]* "$copy/away"
        service=users
        [[ $folder == access ]] || service=tls
        compose up -d >"$dir/up.log" 2>&1 && failed "$folder is not mounted: compose up succeeds"
        refuses "$folder is not mounted: the log has the reason" "/markers/$service" log_and_fail "$service"
        same "$folder is not mounted: created files" "$(files_list | grep "^$folder/")" ""
        mv "$copy/away"/* "$copy/$folder"
        check "$folder is mounted again: compose up" compose up -d
        ready "$url"
    done
}
log_and_fail() { logs "$1" | tail -n 2; return 1; }

# The folder is missing, like a mount point that does not exist.
files_no_folder() {
    files_copy missing
    rm -r "$copy/access"
    compose up -d >"$dir/up.log" 2>&1 && failed "access/ is missing: compose up succeeds"
    refuses "access/ is missing: the error has the reason" 'bind source path does not exist: .*/access|no folder' \
        eval "cat '$dir/up.log'; false"
    [[ ! -e $copy/access ]] && ok "access/ is missing: it is not created" || failed "access/ was created"
}

# compose.yaml alone, as in the editor of Portainer: the engine creates folders for missing files.
files_alone() {
    files_copy alone
    find "$copy" -mindepth 1 -maxdepth 1 ! -name 'compose*.yaml' ! -name access ! -name tls -exec rm -r {} +
    compose up -d >"$dir/up.log" 2>&1 && failed "compose.yaml alone: compose up succeeds"
    refuses "compose.yaml alone: the log has the reason" 'the files beside it are not mounted' \
        eval "logs; cat '$dir/up.log'; false"
    same "compose.yaml alone: nginx runs" \
        "$(docker inspect --format '{{.State.Running}}' "$(container nginx)" 2>/dev/null)" ""
}

# A clone on Windows, where git writes CRLF line ends.
files_windows() {
    local from
    files_copy windows
    command -v git >/dev/null || { note "git is missing: no clone"; return; }
    from=$copy copy=$dir/windows
    # git refuses a repository of another user.
    chown -R "$(id -u):$(id -g)" "$from"
    (cd "$from" && git init -q && git add -A &&
        git -c user.name=x -c user.email=x@example.com commit -q -m x) >"$dir/out" 2>&1 &&
        git clone -q -c core.autocrlf=true "$from" "$copy" 2>>"$dir/out" ||
        { failed "the clone"; indent <"$dir/out"; return; }
    mkdir -p "$copy/access" "$copy/tls"
    chown -R 1000:1000 "$copy"
    check "a clone with autocrlf: compose up" compose up -d
    ready "$url" && same "a clone with autocrlf: the first user" \
        "$(status "$url" --user "admin:$(first_password)")" 200
}
