# What the first start makes, and what it never does: in the place of links, folders and shares that are not mounted, and
# where the engine does not see the files beside compose.yaml.

section_files() {
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=https://$NGX_DOORWARD_PUBLISH/v2/
    local file
    files_made
    # What stands in the place of the file, and what is said.
    for file in tls/tls.crt tls/tls.key; do
        files_kept "$file" dangling tls 'is a link to /nowhere/at/all, where there is nothing'
        files_kept "$file" out tls 'is a link to .*/outside, where there is nothing'
        files_kept "$file" folder tls 'is a directory, and should be a file'
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

# Everything in the two folders but what the clone has: links as they are written.
files_list() {
    (cd "$copy" && find access tls -mindepth 1 ! -name .gitignore -printf '%p %y %l\n' 2>/dev/null | sort)
}

# A fresh copy, without an attempt to start it.
files_copy() { # name
    stack_down
    images_make
    fresh
    project=doorward-image-test-$1
    files=()
}

files_made() {
    stack_up made && ready "$url" || return
    same "a fresh clone: what is made" "$(files_list | tr -d '\n')" \
        'access/htpasswd f tls/tls.crt f tls/tls.key f '
    check "a second start makes nothing" compose up -d
}

# Puts something in the place of a file that would be made. compose must fail, the container must say why, and nothing
# may have been made.
files_kept() { # file kind service pattern
    local before said
    files_copy kept
    echo theirs >"$copy/outside"
    case $2 in
        dangling) ln -s /nowhere/at/all "$copy/$1" ;;
        out) ln -s "$copy/outside" "$copy/$1" ;;
        folder) mkdir "$copy/$1" ;;
    esac
    before=$(files_list | grep "^${1%/*}/")
    compose up -d >"$dir/up.log" 2>&1 && failed "$2 in the place of $1: compose up succeeds"
    said=$(logs "$3")
    grep -Eq -- "$4" <<<"$said" && ok "$2 in the place of $1: it is said" ||
        { failed "$2 in the place of $1: it is not said"; indent <<<"$said"; indent <"$dir/up.log"; }
    grep -E -- "$4" <<<"$said" | indent 1
    same "$2 in the place of $1: what is there" "$(files_list | grep "^${1%/*}/")" "$before"
    same "$2 in the place of $1: the file outside" "$(cat "$copy/outside")" theirs
}

# A link that leads to a file of the same folder works in the container, too, whoever made it.
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
    same "links within the folder: their user" "$(status "$url" --user "alice:$password")" 200
    same "links within the folder: what is there" "$(files_list)" "$before"
}

# At a later start the share is not mounted: its folder is there, and empty.
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
        refuses "$folder is not mounted: it is said" 'it had some|there was one' said_and_failed "$service"
        same "$folder is not mounted: what is made" "$(files_list | grep "^$folder/")" ""
        mv "$copy/away"/* "$copy/$folder"
        check "$folder is mounted again: compose up" compose up -d
        ready "$url"
    done
}
said_and_failed() { logs "$1" | tail -n 2; return 1; }

# The folder itself is missing, as where a share's own mount point is.
files_no_folder() {
    files_copy missing
    rm -r "$copy/access"
    compose up -d >"$dir/up.log" 2>&1 && failed "access/ is missing: compose up succeeds"
    refuses "access/ is missing: it is said" 'bind source path does not exist: .*/access|no folder' \
        eval "cat '$dir/up.log'; false"
    [[ ! -e $copy/access ]] && ok "access/ is missing: nothing is made" || failed "access/ was made"
}

# compose.yaml alone, as Portainer's editor has it: the engine makes folders of what it does not find.
files_alone() {
    files_copy alone
    find "$copy" -mindepth 1 -maxdepth 1 ! -name 'compose*.yaml' ! -name access ! -name tls -exec rm -r {} +
    compose up -d >"$dir/up.log" 2>&1 && failed "compose.yaml alone: compose up succeeds"
    refuses "compose.yaml alone: it is said" 'the files beside it are not mounted' \
        eval "logs; cat '$dir/up.log'; false"
    same "compose.yaml alone: containers of nginx that run" \
        "$(docker inspect --format '{{.State.Running}}' "$(container nginx)" 2>/dev/null)" ""
}

# A clone on Windows, whose git makes CRLF of line ends.
files_windows() {
    local from
    files_copy windows
    command -v git >/dev/null || { note "git is not there: no clone"; return; }
    from=$copy copy=$dir/windows
    # git reads no repository of another user.
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
