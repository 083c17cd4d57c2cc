#!/bin/sh
# The health check of the image: succeeds if nginx listens on its port. It reads the port table of the kernel, because a slim
# image has no HTTP client. It checks nothing else, because a restart of nginx does not repair doorward or the upstream.
set -eu
etc=${NGX_DOORWARD_ROOT:-}/etc/nginx
port=$(sed -n 's/^# doorward: port=\([0-9]*\) .*/\1/p' "$etc/conf.d/default.conf")
[ -n "$port" ] || { echo "health.sh: conf.d/default.conf was not written by doorward" >&2; exit 1; }
# The second field is the local address with the port in hexadecimal. The state 0A is LISTEN.
awk -v port="$(printf ':%04X$' "$port")" '$2 ~ port && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp* ||
    { echo "health.sh: nginx does not listen on port $port" >&2; exit 1; }
