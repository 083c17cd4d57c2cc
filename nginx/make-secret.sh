#!/bin/sh
# Makes the secret by which nginx proves to doorward that it is the proxy, if nothing is there:
#
#     make-secret.sh FILE [OWNER:GROUP MODE]
#
# A file that is there stays as it is, also an empty one: a secret that is replaced would be another one than doorward or
# nginx has read. A link that leads nowhere and a folder are errors, since what they stand for may not be mounted. POSIX
# sh, as dash and busybox have it.
set -eu
umask 077

file=$1 owner=${2:-} mode=${3:-0600}

fail() { printf 'make-secret.sh: %s\n' "$*" >&2; exit 1; }

# Whether there is a file, which then stays.
is_there() {
    if [ -L "$file" ] && [ ! -e "$file" ]; then
        fail "$file is a link to $(readlink "$file"), where there is nothing; mount what it leads to, or remove the link"
    fi
    [ ! -d "$file" ] || fail "$file is a directory, and should be the file with the secret; remove it, or move it away"
    [ -e "$file" ]
}

if is_there; then exit 0; fi
folder=$(dirname "$file")
[ -d "$folder" ] || fail "there is no folder $folder; mount what it is on, or make it with: mkdir -p $folder"

new=$file.new.$$
trap 'rm -f "$new"' EXIT
# 256 bits, in hexadecimal digits, which need no quotes anywhere.
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$new"
echo >>"$new"
[ "$(wc -c <"$new")" -eq 65 ] || fail "/dev/urandom gave too little"
[ -z "$owner" ] || chown "$owner" "$new"
chmod "$mode" "$new"
# Unlike mv, this never replaces what came there meanwhile.
ln "$new" "$file" 2>/dev/null || is_there || fail "cannot write $file"
