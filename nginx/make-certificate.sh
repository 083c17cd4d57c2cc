#!/bin/sh
# Makes a certificate for a trial, tls.crt, and its key, tls.key, if neither is there:
#
#     make-certificate.sh FOLDER NAME [ONCE]
#
# Files that are there stay as they are. A link that leads nowhere (in a container every one that leads out of the mounted
# folder, like certbot's) and a directory are errors, since what they stand for may not be mounted. ONCE is a file
# elsewhere that remembers that there was a pair: then none is made again, since the folder's share may not be mounted.
# The certificate is the server's own and signs no other one (CA:FALSE). POSIX sh, as dash and busybox have it.
set -eu
umask 077

folder=$1 name=$2 once=${3:-}

fail() { printf 'make-certificate.sh: %s\n' "$*" >&2; exit 1; }

remember() {
    # With -C nothing is replaced, be it a link that leads nowhere.
    [ -z "$once" ] || [ -e "$once" ] || (set -C && : >"$once") || fail "cannot write $once"
}

[ -d "$folder" ] || fail "there is no folder $folder; mount what it is on, or make it"
cd "$folder"
there=no
for file in tls.crt tls.key; do
    if [ -L $file ] && [ ! -e $file ]; then
        fail "$folder/$file is a link to $(readlink $file), where there is nothing. In a container a link leads nowhere" \
            "unless what it leads to is mounted, too: mount it at the same path, or put a copy here; nothing was made"
    fi
    [ ! -d $file ] || fail "$folder/$file is a directory, and should be a file; remove it, or move it away"
    [ ! -e $file ] || there=yes
done
if [ $there = yes ]; then remember; exit 0; fi
if [ -n "$once" ] && { [ -e "$once" ] || [ -L "$once" ]; }; then
    fail "there is no certificate in $folder, and there was one, as $once shows; mount the folder or restore the pair, or" \
        "remove $once to have another one made"
fi

case $name in
    '' | -* | *[!A-Za-z0-9._*-]*) fail "$name is no name for a certificate" ;;
    *[!0-9.]*) alternative=DNS:$name ;;
    *) alternative=IP:$name ;;
esac
new=.new.$$
trap 'rm -f "$new.key" "$new.crt"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 800 -subj "/CN=$name" \
    -addext "subjectAltName=$alternative,DNS:localhost,IP:127.0.0.1" -addext basicConstraints=critical,CA:FALSE \
    -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth -keyout $new.key -out $new.crt \
    2>$new.log || { cat $new.log >&2; rm -f $new.log; fail "openssl makes no certificate"; }
rm -f $new.log
chmod 644 $new.crt
for file in key crt; do
    # Unlike mv, neither replaces what came there meanwhile. Some shares know no second name for a file.
    ln $new.$file tls.$file 2>/dev/null || (set -C && cat $new.$file >tls.$file) ||
        fail "cannot write $folder/tls.$file"
done
[ tls.crt -ef $new.crt ] || chmod 644 tls.crt
# Root in a container makes them for whoever's folder it is; last, since it may not change them any more then.
chown --reference=. tls.key tls.crt 2>/dev/null || :
remember
