#!/bin/sh
# Creates the proxy secret, which proves to doorward that the peer is nginx, if the file does not exist:
#
#     make-secret.sh FILE [OWNER:GROUP MODE]
#
# An existing file is not changed, even if it is empty: doorward and nginx may have read it already. A link without a target
# and a directory are errors, because the intended file may not be mounted. POSIX sh, for dash and busybox.
set -eu
umask 077

file=$1 owner=${2:-} mode=${3:-0600}

fail() { printf 'make-secret.sh: %s\n' "$*" >&2; exit 1; }

# Succeeds if the file exists.
exists() {
    if [ -L "$file" ] && [ ! -e "$file" ]; then
        fail "$file is a link to $(readlink "$file"), which does not exist; mount the target, or remove the link"
    fi
    [ ! -d "$file" ] || fail "$file is a directory, and must be the file with the secret; remove or rename it"
    [ -e "$file" ]
}

if exists; then exit 0; fi
folder=$(dirname "$file")
[ -d "$folder" ] || fail "there is no folder $folder; mount it, or create it with: mkdir -p $folder"

new=$file.new.$$
trap 'rm -f "$new"' EXIT
# 256 bits in hexadecimal digits, which need no quotes in any file.
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$new"
echo >>"$new"
[ "$(wc -c <"$new")" -eq 65 ] || fail "/dev/urandom returned too few bytes"
[ -z "$owner" ] || chown "$owner" "$new"
chmod "$mode" "$new"
# Unlike mv, this never replaces a file that was created meanwhile.
ln "$new" "$file" 2>/dev/null || exists || fail "cannot write $file"
