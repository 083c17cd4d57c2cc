#!/bin/sh
# The image's health check: whether nginx listens on its port. Read from the kernel, since a slim image has no client to
# ask with; and on purpose no more than that, since restarting nginx helps neither doorward nor the backend.
set -eu
etc=${NGX_DOORWARD_ROOT:-}/etc/nginx
port=$(sed -n 's/^# doorward: port=\([0-9]*\) .*/\1/p' "$etc/conf.d/default.conf")
[ -n "$port" ] || { echo "conf.d/default.conf is not doorward's" >&2; exit 1; }
# The local address is the second field, its port in hexadecimal; 0A is the state "listens".
awk -v port="$(printf ':%04X$' "$port")" '$2 ~ port && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp* ||
    { echo "nobody listens on port $port" >&2; exit 1; }
