#!/bin/sh
# The last script of the entrypoint: lets nginx start only with the protected configuration.
#
# If the official image cannot write conf.d, it continues with the present files, for example the welcome page. So this
# script reads the configuration that nginx would run, and fails the start if it differs from the settings. A server{}
# without protection can be intended, so it causes a warning only.
set -eu
LC_ALL=C
export LC_ALL

fail() { printf '99-doorward-check.sh: %s\n' "$*" >&2; exit 1; }

[ -n "${NGX_DOORWARD_CONF_MARKER:-}" ] || fail "18-doorward.envsh was not sourced, so no setting was read. It must" \
    "exist in /docker-entrypoint.d and be executable. Images before nginx 1.22.1 and 1.23.2 do not source .envsh files"

# nginx writes its errors to stderr.
config=$(nginx -q -T) || fail "nginx rejects its configuration, see above"

printf '%s\n' "$config" | grep -qxF "# $NGX_DOORWARD_CONF_MARKER" || fail "nginx would not run the protected" \
    "configuration of this start. Check that /etc/nginx/conf.d can be written, that nginx.conf includes conf.d/*.conf, and" \
    "that /etc/nginx/templates/default.conf.template exists"

# Prints a line for each server{} of http: its class, file and name. "protected" has an auth check, "closed" has only fixed
# responses, and "open" is neither.
servers=$(printf '%s\n' "$config" | awk '
    function word(text) {
        if (text == "") return
        if (words == 0) first = text
        statement = statement (words++ ? " " : "") text
    }
    function end() {
        if (inside && depth == inside) {
            if (statement ~ /^auth_request / && statement !~ / off$/) protected = 1
            if (statement ~ /^include ([^ ]*\/)?doorward-(registry|registry-tokens|ecr|site|server|protect)\.conf$/) protected = 1
            if (statement ~ /^(return |ssl_reject_handshake on)/) closed = 1
            if (statement ~ /^server_name /) name = substr(statement, 13)
        }
        statement = first = ""; words = 0
    }
    function open() {
        depth++
        if (first ~ /^(stream|mail)$/ && !other) other = depth
        if (first == "server" && words == 1 && !inside && !other) {
            inside = depth; protected = closed = 0; name = "without a name"
        }
        statement = first = ""; words = 0
    }
    function close_() {
        if (depth == inside) {
            print (protected ? "protected" : closed ? "closed" : "open"), file, name
            inside = 0
        }
        if (depth == other) other = 0
        if (depth > 0) depth--
        statement = first = ""; words = 0
    }
    # Each file is read on its own, because `nginx -T` does not print which block includes it.
    /^# configuration file .*:$/ && quote == "" {
        file = substr($0, 22, length($0) - 22); depth = inside = other = 0; statement = first = ""; words = 0
        next
    }
    {
        text = ""
        for (at = 1; at <= length($0); at++) {
            letter = substr($0, at, 1)
            if (letter == "\\") { text = text letter substr($0, ++at, 1); continue }
            if (quote != "") {
                if (letter == quote) { quote = ""; word(text); text = "" } else text = text letter
            } else if (letter == "#" && text == "") break
            else if ((letter == "\"" || letter == "\047") && text == "") quote = letter
            else if (letter ~ /[ \t\r]/) { word(text); text = "" }
            else if (letter == ";") { word(text); text = ""; end() }
            # Inside a word, a brace belongs to a variable: ${name}.
            else if (letter == "{" && text !~ /\$$/) { word(text); text = ""; open() }
            else if (letter == "}" && text !~ /\$\{[A-Za-z0-9_]*$/) { word(text); text = ""; close_() }
            else text = text letter
        }
        if (quote == "") word(text)
    }')

printf '%s\n' "$servers" | grep -q '^protected ' || fail "nginx would run no protected server{}"

printf '%s\n' "$servers" | sed -n 's/^open //p' | while read -r file name; do
    printf '99-doorward-check.sh: warning: the server %s of %s is not protected by doorward\n' "$name" "$file" >&2
done
