#!/bin/sh
# Makes the secret by which nginx proves to doorward that it is the proxy, if nothing is there:
#
#     make-secret.sh FILE [OWNER:GROUP MODE]
#
# What is there stays as it is, also an empty file and a link that leads nowhere: whoever put it there has a reason, and a
# secret that is replaced would be another one than doorward or nginx has read. POSIX sh, as dash and busybox have it.
set -eu
umask 077

file=$1 owner=${2:-} mode=${3:-0600}
if [ -e "$file" ] || [ -L "$file" ]; then exit 0; fi

new=$file.new.$$
trap 'rm -f "$new"' EXIT
# 256 bits, in hexadecimal digits, which need no quotes anywhere.
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$new"
echo >>"$new"
[ "$(wc -c <"$new")" -eq 65 ] || { echo "make-secret.sh: /dev/urandom gave too little" >&2; exit 1; }
[ -z "$owner" ] || chown "$owner" "$new"
chmod "$mode" "$new"
# Unlike mv, this never replaces what came there meanwhile.
ln "$new" "$file" 2>/dev/null || [ -e "$file" ] || [ -L "$file" ] || {
    echo "make-secret.sh: cannot write $file" >&2
    exit 1
}
