#!/bin/sh
# Creates a certificate for a trial, tls.crt, and its key, tls.key, if neither exists:
#
#     make-certificate.sh FOLDER NAME [MARKER]
#
# Existing files are not changed. A link without a target and a directory are errors, because the intended file may not be
# mounted. In a container, every link that leads out of the mounted folder has no target, like those of certbot. MARKER is
# a file in another folder that records that a pair existed. If the pair is missing later, none is created, because the
# folder may be a share that is not mounted. The certificate cannot sign others (CA:FALSE). POSIX sh, for dash and busybox.
set -eu
umask 077

folder=$1 name=$2 marker=${3:-}

fail() { printf 'make-certificate.sh: %s\n' "$*" >&2; exit 1; }

write_marker() {
    # With -C nothing is replaced, not even a link without a target.
    [ -z "$marker" ] || [ -e "$marker" ] || (set -C && : >"$marker") || fail "cannot write $marker"
}

[ -d "$folder" ] || fail "there is no folder $folder; mount it, or create it"
cd "$folder"
exists=no
for file in tls.crt tls.key; do
    if [ -L $file ] && [ ! -e $file ]; then
        fail "$folder/$file is a link to $(readlink $file), which does not exist. In a container the target of a link must" \
            "be mounted too: mount it at the same path, or replace the link by a copy; nothing was created"
    fi
    [ ! -d $file ] || fail "$folder/$file is a directory, and must be a file; remove or rename it"
    [ ! -e $file ] || exists=yes
done
if [ $exists = yes ]; then write_marker; exit 0; fi
if [ -n "$marker" ] && { [ -e "$marker" ] || [ -L "$marker" ]; }; then
    fail "there is no certificate in $folder, but $marker records that one existed; mount the folder, restore the pair, or" \
        "remove $marker to create another certificate"
fi

case $name in
    '' | -* | *[!A-Za-z0-9._*-]*) fail "$name is not a host name or an IP address" ;;
    *[!0-9.]*) alternative=DNS:$name ;;
    *) alternative=IP:$name ;;
esac
new=.new.$$
trap 'rm -f "$new.key" "$new.crt"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 800 -subj "/CN=$name" \
    -addext "subjectAltName=$alternative,DNS:localhost,IP:127.0.0.1" -addext basicConstraints=critical,CA:FALSE \
    -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth -keyout $new.key -out $new.crt \
    2>$new.log || { cat $new.log >&2; rm -f $new.log; fail "openssl failed, see above"; }
rm -f $new.log
chmod 644 $new.crt
for file in key crt; do
    # Unlike mv, neither command replaces a file that was created meanwhile. Some shares do not support hard links.
    ln $new.$file tls.$file 2>/dev/null || (set -C && cat $new.$file >tls.$file) ||
        fail "cannot write $folder/tls.$file"
done
[ tls.crt -ef $new.crt ] || chmod 644 tls.crt
# In a container root creates the files, and the owner of the folder gets them. This is the last change, because root
# without capabilities cannot change a file of another user.
chown --reference=. tls.key tls.crt 2>/dev/null || :
write_marker
