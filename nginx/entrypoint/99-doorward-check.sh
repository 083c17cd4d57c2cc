#!/bin/sh
# The last of the entrypoint's scripts: lets nginx start only with the guarded configuration.
#
# The official image goes on with what is there when it cannot write conf.d, with its welcome page at best. So this asks
# nginx itself what it would run, and ends the start when that is not what the settings say. A server{} beside ours that
# nobody guards is somebody's wish, perhaps: it is warned of.
set -eu
LC_ALL=C
export LC_ALL

fail() { printf '99-doorward-check.sh: %s\n' "$*" >&2; exit 1; }

[ -n "${NGX_DOORWARD_CONF_MARKER:-}" ] || fail "18-doorward.envsh was not sourced, so no setting was read. Is it there" \
    "and executable? Images before nginx 1.22.1 and 1.23.2 know no .envsh files: take a newer one"

# The errors are nginx's own, and go where they should.
config=$(nginx -q -T) || fail "nginx does not take its configuration, see above"

printf '%s\n' "$config" | grep -qxF "# $NGX_DOORWARD_CONF_MARKER" || fail "the guarded configuration is not what nginx" \
    "would run. Can /etc/nginx/conf.d be written, does nginx.conf include conf.d/*.conf, and is there" \
    "/etc/nginx/templates/default.conf.template? An older default.conf is not taken for one of this start"

# Of each server{} of http: its file, its name, and whether it is guarded, answers nothing but itself, or neither.
servers=$(printf '%s\n' "$config" | awk '
    function word(text) {
        if (text == "") return
        if (words == 0) first = text
        statement = statement (words++ ? " " : "") text
    }
    function end() {
        if (inside && depth == inside) {
            if (statement ~ /^auth_request / && statement !~ / off$/) guarded = 1
            if (statement ~ /^include ([^ ]*\/)?doorward-(registry|registry-tokens|ecr|site|server|protect)\.conf$/) guarded = 1
            if (statement ~ /^(return |ssl_reject_handshake on)/) closed = 1
            if (statement ~ /^server_name /) name = substr(statement, 13)
        }
        statement = first = ""; words = 0
    }
    function open() {
        depth++
        if (first ~ /^(stream|mail)$/ && !other) other = depth
        if (first == "server" && words == 1 && !inside && !other) {
            inside = depth; guarded = closed = 0; name = "without a name"
        }
        statement = first = ""; words = 0
    }
    function close_() {
        if (depth == inside) {
            print (guarded ? "guarded" : closed ? "closed" : "open"), file, name
            inside = 0
        }
        if (depth == other) other = 0
        if (depth > 0) depth--
        statement = first = ""; words = 0
    }
    # Each file begins anew: what it stands in is not told.
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
            # Within a word it belongs to a variable: ${name}.
            else if (letter == "{" && text !~ /\$$/) { word(text); text = ""; open() }
            else if (letter == "}" && text !~ /\$\{[A-Za-z0-9_]*$/) { word(text); text = ""; close_() }
            else text = text letter
        }
        if (quote == "") word(text)
    }')

printf '%s\n' "$servers" | grep -q '^guarded ' || fail "nginx would run no server{} that is guarded"

printf '%s\n' "$servers" | sed -n 's/^open //p' | while read -r file name; do
    printf '99-doorward-check.sh: warning: the server %s of %s is not guarded by doorward\n' "$name" "$file" >&2
done
