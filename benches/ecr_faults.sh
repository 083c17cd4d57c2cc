# The parts of benches/ecr.sh in which something is wrong: tokens that end, an AWS that fails, an ECR that refuses, names that
# move, strangers; whether the stand-ins are as strict as they should be; and the look for tokens. To be sourced.

life=64         # of a token that is to end; doorward fetches none within half a minute of the last

status() { curl -sS -o /dev/null -w '%{http_code}' -u "${secret[ann]}" --cacert "$dir/ca.crt" "$@" "https://$host/v2/releases/suite-2025/tags/list"; }
seconds() { printf '%d' "${EPOCHREALTIME%[.,]*}"; }
ends() { sed -n '$s/.*"until": \([0-9]*\).*/\1/p' "$state/tokens.jsonl"; }     # when the newest token does
old_ones() { grep -c '"credentials", "line": "old"' "$state/ecr.jsonl"; }
again() { # life: doorward anew, with a token that lives so long
    ended "${pid_of[doorward]}"
    aws_is "{\"length\": 2000, \"life\": $1}"
    doorward_at doorward "${keys[@]}"
}
readied() { [[ $(status) == 200 ]]; }

part_standins() {
    title "whether the stand-ins are as strict as what they stand for"
    local to="https://$ecr_host$ecr_port/v2/" good where
    ask() { straight "$ecr_at" -i "$@" 2>&1 | tr -d '\r'; }
    first() { grep -oE '^HTTP/1.1 [0-9]+|unrecognized name|<Code>[A-Za-z]*|"code": "[A-Z]*"' <<<"$1" | paste -sd ' ' | sed 's,HTTP/1.1 ,,'; }
    good="Authorization: Basic $(token '$')"
    expect "ECR, without credentials" "$(ask "$to" | grep -i '^www-auth')" "WWW-Authenticate: Basic realm=\"https://$ecr_host/\",service=\"ecr.amazonaws.com\""
    expect "ECR, with a customer's" "$(first "$(ask -u "${secret[ann]}" "$to")")" 401
    expect "ECR, with two headers of them" "$(first "$(ask -H "$good" -H 'authorization: Basic eDp5' "$to")")" 401
    expect "ECR, with the token" "$(first "$(ask -H "$good" "$to")")" 200
    expect "ECR, by another name" "$(first "$(ask -H "$good" -H 'Host: registry' "$to")")" 400
    expect "ECR, with no name in the handshake" "$(first "$(ask -k "https://$ecr_at$ecr_port/v2/")")" "unrecognized name"
    ecr_is '"since": 9999999999'
    expect "ECR, with an old token" "$(first "$(ask -H "$good" "$to")")" '403 "code": "DENIED"'
    ecr_is '"refuse": 401'
    expect "ECR, when it refuses all" "$(first "$(ask -H "$good" "$to")")" 401
    ecr_is
    expect "ECR, more tags than it gives" "$(first "$(ask -H "$good" "${to}releases/suite-2025/tags/list?n=1001")")" '400 "code": "UNSUPPORTED"'
    where=$(ask -H "$good" "${to}releases/suite-2025/blobs/sha256:$(sed -n 's/.*"digest": "sha256:\([0-9a-f]*\)".*/\1/p' <<<"$(ask -H "$good" -H "Accept: $oci" "${to}releases/suite-2025/manifests/one" | sed 's/.*"layers"//')")" | sed -n 's/^Location: //p')
    expect "S3, with the signature" "$(first "$(ask -r 0-9 "$where" | head -n 1 | tr -d '\0')")" 206
    expect "S3, with a token as well" "$(first "$(ask -H "$good" "$where")")" "400 <Code>InvalidArgument"
    expect "S3, with another signature" "$(first "$(ask "${where}0")")" "403 <Code>SignatureDoesNotMatch"
    expect "S3, without" "$(first "$(ask "${where%%\?*}")")" "403 <Code>AccessDenied"
    local call=(-X POST "http://127.0.0.1:$port_aws/" -H 'Content-Type: application/x-amz-json-1.1' -d '{}'
        -H 'X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken')
    local sign=(--aws-sigv4 aws:amz:eu-central-1:ecr)
    expect "AWS, unsigned" "$(curl -sS "${call[@]}" | grep -o '[A-Za-z]*Exception')" MissingAuthenticationTokenException
    expect "AWS, signed with another key" "$(curl -sS "${call[@]}" "${sign[@]}" -u "$aws_id:another" | grep -o '[A-Za-z]*Exception')" InvalidSignatureException
    expect "AWS, signed" "$(curl -sS "${call[@]}" "${sign[@]}" -u "$aws_id:$aws_secret" | grep -o authorizationToken)" authorizationToken
    # The look for tokens is for what was not meant.
    for good in ecr s3 aws; do cp "$state/$good.jsonl" "$state/$good-strict.jsonl" && : >"$state/$good.jsonl"; done
}

# An upload that takes longer than a token is fresh: it begins with one and ends with another.
slow_push() {
    local where digest creds=${secret[eve]} there=https://${at[sellers]}
    head -c 300000 /dev/urandom >"$dir/slow" && digest=$(sha256sum "$dir/slow" | cut -c 1-64)
    where=$(web -X POST "$there/v2/sellers/slow/blobs/uploads/" | sed -n 's/^[Ll]ocation: //p')
    where=$(web -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' --limit-rate 6k \
        -T "$dir/slow" "$there$where" | sed -n 's/^[Ll]ocation: //p')
    web -X PUT "$there$where&digest=sha256:$digest" | head -n 1 | cut -d ' ' -f 2
}

part_expiry() {
    title "tokens end while customers pull"
    host=${at[shop]}
    local before old begin end count=0 bad=() got pulled failed
    again "$life"
    before=$(tokens) old=$(old_ones) end=$((SECONDS + ${EXPIRY:-150}))
    (
        creds=${secret[ann]}
        while ((SECONDS < end)); do
            for client in "${clients[@]}"; do
                if told=$("pull_$client" releases/suite-2025 2>&1) && [[ $client != curl || $told == 'HTTP/1.1 200'* ]]; then say "ok $client"
                else say "failed $client: $(said "$told")"; fi
                printf '%s\n' "$told" >>"$dir/told/$client"
            done
        done >"$dir/pulled"
    ) &
    local puller=$!
    slow_push >"$dir/pushed" &
    local pusher=$!
    while ((SECONDS < end)); do
        got=$(status)
        ((++count))
        [[ $got == 200 ]] || bad+=("$got at $(seconds)")
    done
    wait "$puller" "$pusher"
    pulled=$(grep -c '^ok' "$dir/pulled") failed=$(grep '^failed' "$dir/pulled")
    note_ "$count requests, $pulled pulls, $(($(tokens) - before)) tokens of $life s"
    expect "requests that failed" "${#bad[@]}${bad[*]:+ (${bad[*]:0:3})}" 0
    expect "pulls that failed" "${failed:-none}" none
    expect "an upload over two tokens" "$(<"$dir/pushed")" 201
    expect "pulls that did not" "$((pulled > 3))" 1
    expect "tokens were fetched" "$(($(tokens) - before >= 3))" 1
    expect "but not more than are of use" "$(($(tokens) - before <= 6))" 1
    expect "tokens that had ended, at ECR" "$(($(old_ones) - old))" 0
}
note_() { printf '        %s\n' "$*"; }

part_gone() {
    title "AWS is gone"
    host=${at[shop]}
    local old until early=0 late=0 count=0 got when others=
    again "$life"
    aws_is '{"mode": "gone"}'
    old=$(old_ones) until=$(ends)
    while when=$(seconds); ((when < until + 4)); do
        got=$(status)
        ((++count))
        # What was asked before its end may be answered after it.
        # doorward ends it ten seconds early: what it admits is on its way for a while.
        if ((when < until - 12)); then [[ $got == 200 ]] || ((++early)); fi
        if ((when > until)); then [[ $got == 503 ]] || ((++late)); fi
        [[ $got =~ ^(200|503)$ ]] || others+=" $got"
    done
    note_ "$count requests"
    expect "refused while the token was good" "$early" 0
    expect "not refused when it had ended" "$late$others" 0
    expect "tokens that had ended, at ECR" "$(($(old_ones) - old))" 0
    creds=${secret[ann]}
    got=$(web "https://$host/v2/releases/suite-2025/tags/list")
    expect "what the customer is told" "$(tail -n 1 <<<"$got")" '\{"errors":\[\{"code":"UNAVAILABLE",.*'
    expect "and not to log in" "$(grep -ci '^www-authenticate' <<<"$got")" 0
    each "refused:503|unavailable" ann pull releases/suite-2025
    each "refused:503|unavailable" ann login
    each "$unknown" wrong login
    expect "the reason in nginx's log" "$(grep -c 'reason=upstream_credentials' "$dir/shop/var/log/nginx/access.log" | sed 's/^[1-9].*/some/')" some
    expect "/readyz" "$(ready)" ".*(ecr|upstream|token|credentials)[^$]*"
    aws_is '{"length": 2000, "life": 43200}'
    got=$SECONDS
    until_it 90 readied
    expect "AWS is back: 200 again" "$(status)" 200
    note_ "after $((SECONDS - got)) s"
}

part_refusal() {
    title "ECR refuses"
    host=${at[shop]}
    again 43200
    local before got begin status_
    creds=${secret[ann]} before=$(tokens) begin=$SECONDS
    # Void at once, and no later one, as when a role is taken away and given back.
    ecr_is "\"since\": $(sed -n '$s/.*"from": \([0-9.]*\).*/\1/p' "$state/tokens.jsonl" | awk '{ printf "%.3f", $1 + 0.002 }')"
    got=$(web "https://$host/v2/releases/suite-2025/tags/list")
    expect "an old token at ECR: what the customer gets" "$(head -n 1 <<<"$got" | cut -d ' ' -f 2)" 503
    expect "what he is told" "$(tail -n 1 <<<"$got")" '\{"errors":\[\{"code":"UNAVAILABLE","message":"the registry refused the credentials of this proxy","detail":null\}\]\}'
    expect "and not to log in, nor who refused" "$(grep -ciE '^www-authenticate|amazonaws|reauthenticate' <<<"$got")" 0
    until_it 20 readied
    expect "a new one is fetched: 200 again" "$(status)" 200
    note_ "after $((SECONDS - begin)) s"
    expect "calls of AWS for that" "$(($(tokens) - before))" "[12]"
    for status_ in 401 403; do
        ecr_is "\"refuse\": $status_"
        before=$(tokens) creds=${secret[ann]}
        for _ in {1..20}; do got=$(web "https://$host/v2/releases/suite-2025/tags/list"); done
        expect "ECR says $status_: what the customer gets" "$(head -n 1 <<<"$got" | cut -d ' ' -f 2) $(tail -n 1 <<<"$got")" \
            '503 \{"errors":\[\{"code":"UNAVAILABLE","message":"the registry refused the credentials of this proxy","detail":null\}\]\}'
        expect "and not to log in, nor who refused" "$(grep -ciE '^www-authenticate|amazonaws|reauthenticate' <<<"$got")" 0
        expect "calls of AWS for twenty refusals" "$(sleep 2; say "$(($(tokens) - before))")" 0
        each "refused:503|unavailable|refused the credentials" ann pull releases/suite-2025
        each "refused:503|unavailable|refused the credentials" ann login
        host=${at[sellers]} each "refused:503|unavailable|refused the credentials" eve push sellers/app refused
    done
    ecr_is
    expect "ECR is content again" "$(status)" 200
    expect "doorward's log says so" "$(grep -ci 'refused' "$dir/doorward.log" | sed 's/^[1-9].*/some/')" some
    expect "its figures, too" "$(metrics | grep -ciE '^doorward_.*refus.* [1-9]' | sed 's/^[1-9].*/some/')" some
}

part_faults() {
    title "AWS is there, and fails: what a doorward that starts then does, and how it goes on"
    host=${at[shop]}
    local mode begin
    for mode in gone throttle refuse fail empty malformed ended slow; do
        ended "${pid_of[doorward]}"
        if [[ $mode == slow ]]; then aws_is '{"delay": 30}'; else aws_is "{\"mode\": \"$mode\"}"; fi
        awaited=/livez doorward_at doorward "${keys[@]}"
        expect "AWS: $mode: the customer gets" "$(status)" 503
        expect "AWS: $mode: a stranger gets" "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$dir/ca.crt" "https://$host/v2/")" 401
        expect "AWS: $mode: the log has it" "$(tail -n 40 "$dir/doorward.log" | grep -ciE '(warn|error).*(ecr|token|aws|upstream)' | sed 's/^[1-9].*/some/')" some
        aws_is '{}'
        begin=$SECONDS
        until_it 90 readied
        expect "AWS: $mode, and then well: the customer gets" "$(status)" 200
        note_ "after $((SECONDS - begin)) s"
    done
}

part_moves() {
    title "ECR's name leads elsewhere"
    host=${at[shop]}
    local old=$pid_ecr begin
    expect "before" "$(status)" 200
    ended "$old"
    start_ecr "$elsewhere"
    names_are "$elsewhere"
    begin=$SECONDS
    until_it 30 readied
    expect "after" "$(status)" 200
    note_ "after $((SECONDS - begin)) s"
    ecr_at=$elsewhere
    each allowed ann pull releases/suite-2025
}

part_authority() {
    title "somebody else answers by ECR's name"
    local before
    free_port; port_of[wrong-authority]=$port
    nginx_starts wrong-authority "$port" "${by_tcp[@]}" "BACKEND_CA=$dir/other.crt"
    before=$(heads ecr request)
    host=127.0.0.1:$port
    expect "the customer gets" "$(status)" "50[23]"
    expect "and he got" "$(($(heads ecr request) - before))" 0
}

part_peers() {
    title "who gets the token from doorward"
    local shown="X-Auth-Proxy-Secret: $(<"$dir/secret")" url=http://127.0.0.1:${port_of[doorward]}/auth name
    local ask=(-u "${secret[ann]}" -H 'X-Original-URI: /v2/releases/suite-2025/tags/list' -H 'X-Original-Method: GET'
        -H 'X-Original-Host: 127.0.0.1' -H 'X-Original-Content-Type: ct:' -H 'X-Real-IP: 127.0.0.1' -H 'X-Auth-Rewrite: yes')
    given() { # curl's arguments: status, reason, and how many bytes of a token
        curl -sS -D - -o /dev/null "${ask[@]}" "$@" | tr -d '\r' | awk 'NR == 1 { printf "%s", $2 }
            tolower($1) == "x-auth-reason:" { printf " %s", $2 }
            tolower($1) == "x-upstream-authorization:" { printf " %s", length($3) ? "a token" : "" }'
    }
    expect "nginx, with the secret" "$(given -H "$shown" "$url")" "200 a token"
    expect "nginx, at the socket" "$(given --unix-socket "$dir/doorward.sock" http://doorward/auth)" "200 a token"
    expect "a listed peer without the secret" "$(given "$url")" "403 untrusted ?"
    expect "with another secret" "$(given -H "${shown}0" "$url")" "403 untrusted ?"
    expect "with a part of it" "$(given -H "${shown%?}" "$url")" "403 untrusted ?"
    expect "with none in the header" "$(given -H 'X-Auth-Proxy-Secret;' "$url")" "403 untrusted ?"
    expect "with it, and another beside" "$(given -H "$shown" -H 'X-Auth-Proxy-Secret: x' "$url")" "403 [a-z]+ ?"
    expect "a peer that is not listed, with the secret" "$(given --interface "$stranger" -H "$shown" "$url")" "403 untrusted ?"
    expect "nginx, for a wrong token" "$(given -u "${secret[wrong]}" -H "$shown" "$url")" "401 ?"
    expect "nginx, for what is not licensed" "$(given -u "${secret[bob]}" -H "$shown" "$url")" "403 denied ?"
    expect "nginx, for another host" "$(given -H "$shown" -H 'X-Original-Host: example.org' "$url")" "(200|403)[^$]*"
    for name in no-secret wrong-secret; do
        free_port; port_of[$name]=$port
        printf 'of-somebody-else\n' >"$dir/$name.secret"
        if [[ $name == no-secret ]]; then nginx_starts $name "$port" "${by_tcp[0]}"
        else nginx_starts $name "$port" "${by_tcp[0]}" "SECRET_FILE=$dir/$name.secret"; fi
        host=127.0.0.1:$port
        expect "a customer of nginx with $name" "$(status)" "403"
    done
}

part_scan() {
    title "where tokens were seen"
    local name kept=$dir/var customers=()
    for name in "${!pid_of[@]}"; do
        [[ $name == *doorward ]] && kill -0 "${pid_of[$name]}" 2>/dev/null || continue
        ready $name >"$kept/$name.readyz"
        metrics $name >"$kept/$name.metrics"
        curl -sS "http://127.0.0.1:${admin_of[$name]}/readyz" >"$kept/$name.admin-readyz" 2>&1
    done
    for name in ann bob eve; do customers+=(--secret "${secret[$name]#*:}" --secret "$(printf %s "${secret[$name]}" | base64 -w 0)"); done
    looked() { # what arguments: that nothing is found
        expect "$1" "$(python3 "$root/benches/ecr_scan.py" "${@:2}")" ".*: none found"
    }
    expect "it finds what ECR got" "$(python3 "$root/benches/ecr_scan.py" "$state/tokens.jsonl" "$state/ecr.jsonl" >/dev/null; say $?)" 1
    expect "and what the clients say, in the tap" "$(python3 "$root/benches/ecr_scan.py" "${customers[@]}" - "$dir/tap" >/dev/null; say $?)" 1
    looked "S3, requests and answers" "$state/tokens.jsonl" "$state/s3.jsonl"
    looked "every byte to and from the clients" "$state/tokens.jsonl" "$dir/tap"
    looked "what the clients said" "$state/tokens.jsonl" "$dir/told"
    looked "what they keep" "$state/tokens.jsonl" "$dir/config" $([[ ! -d $dir/podtmp ]] || echo "$dir/podtmp")
    looked "doorward's log, at debug level" "$state/tokens.jsonl" "$dir"/*doorward.log
    looked "its figures and /readyz" "$state/tokens.jsonl" "$kept"
    looked "nginx's logs" "$state/tokens.jsonl" "$dir"/*/var/log/nginx
    looked "a customer's secret, at ECR and S3" "${customers[@]}" - "$state/s3.jsonl" "$state/ecr.jsonl"
    looked "a customer's secret, in the logs" "${customers[@]}" - "$dir"/*doorward.log "$dir"/*/var/log/nginx "$kept"
    looked "doorward's own keys for AWS, in its log" --secret "$aws_secret" --secret session-of-a-role - "$dir"/*doorward.log "$kept"
    looked "the proxy's secret, at ECR, S3 and the clients" --secret "$(<"$dir/secret")" - "$state/s3.jsonl" "$state/ecr.jsonl" "$dir/tap"
    looked "and in the logs" --secret "$(<"$dir/secret")" - "$dir"/*doorward.log "$dir"/*/var/log/nginx "$kept"
}
