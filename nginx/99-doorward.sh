#!/bin/sh
# The last script of the image's entrypoint: writes the protected configuration, and checks that nginx reads it. If it fails,
# nginx is not started.
set -eu
folder=/etc/nginx/conf.d

fail() { printf '99-doorward.sh: %s\n' "$*" >&2; exit 1; }

# Such a file is the welcome page of the image, or was written by an older version. It could answer in place of doorward.conf.
[ ! -e $folder/default.conf ] || fail "remove $folder/default.conf; a configuration of your own needs another name"

doorward proxy-config nginx --output $folder || fail "the configuration was not written, see above. If user $(id -u)" \
    "cannot write to $folder, put a tmpfs there: --tmpfs $folder:uid=$(id -u)"

# nginx prints its errors to stderr. Its configuration contains the proxy secret, and is not printed.
config=$(nginx -q -T) || fail "nginx rejects its configuration, see above"
printf '%s\n' "$config" | grep -qxF "# configuration file $folder/doorward.conf:" ||
    fail "nginx does not read $folder/doorward.conf; its nginx.conf must include conf.d/*.conf"

# Your other files in conf.d can be intended, so their mistakes are only printed.
printf '%s\n' "$config" | doorward proxy-config --check - >&2 || :
