#!/bin/sh
# Works like the script of the official image. It writes a file in conf.d for each *.template, and replaces the variables that
# are set and match the filter. If conf.d cannot be written, it only logs an error.
set -e
from=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
to=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
[ -d "$from" ] || exit 0
if [ ! -w "$to" ]; then
    echo "$0: ERROR: $from exists, but $to is not writable" >&2
    exit 0
fi
names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | grep -E "${NGINX_ENVSUBST_FILTER:-}" |
    sed 's/.*/${&}/' | tr '\n' ' ')
find "$from" -follow -type f -name "*$suffix" | while read -r template; do
    output=$to/${template#"$from/"}
    output=${output%"$suffix"}
    mkdir -p "$(dirname "$output")"
    echo "$0: $template to $output" >&2
    envsubst "$names" <"$template" >"$output"
done
