# The parts of benches/ecr.sh in which all is well: who may pull and push what, with layers from S3 and by way of nginx, and
# behind a balancer. To be sourced.

# A client that fails for another reason is not refused.
denied='refused:denied|403' unknown='refused:unauthori|401|invalid username'

pulls() { # nginx: who may pull what
    host=${at[$1]}
    for who in ann bob eve; do each allowed $who login; done
    for who in wrong other; do
        each "$unknown" $who login
        each "$unknown" $who pull releases/suite-2025
    done
    each allowed ann pull releases/suite-2025
    each "$denied" ann pull releases/suite-2024
    each "$denied" ann pull releases/suite-2023
    each allowed bob pull releases/suite-2024
    each "$denied" bob pull releases/suite-2025
    each "$denied" eve pull releases/suite-2025
    each allowed ann tags releases/suite-2025
    creds=${secret[ann]}
    # `one` and the seven.
    expect "manifests, by the order of docker's Accepts" "$(accepted)" "6 of 6"
    expect "tags that curl found" "$(tags_curl releases/suite-2025 | tail -n 1)" "7 tags on 3 pages"
    expect "tags that skopeo found" "$(tags_skopeo releases/suite-2025)" "7 tags"
}
pushes() { # nginx tag: who may push what
    host=${at[$1]}
    each allowed eve push sellers/app "$2"
    each "$denied" eve push releases/suite-2025 "$2"
    each "$denied" ann push sellers/app "$2"
    each "$denied" ann push releases/suite-2025 "$2"
    each "$unknown" wrong push sellers/app "$2"
    # curl only begins.
    [[ ${clients[*]} == curl ]] || expect "what was pushed is there, whole" "$(straight "$ecr_at" -H "Authorization: Basic $(token '$')" -H "Accept: $oci" \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "https://$ecr_host$ecr_port/v2/sellers/app/manifests/$2" |
        grep -o '"digest"' | wc -l)" 21
}
# docker sends a header for each type that it knows, in an order that is another one each time.
accepted() { # how many of the orders get the manifest
    local types=(application/json application/vnd.docker.distribution.manifest.{v1+prettyjws,v2+json,list.v2+json} "$oci"
        application/vnd.oci.image.index.v1+json) heads=() count=0 i type
    for i in "${!types[@]}"; do
        heads=()
        for type in "${types[@]:i}" "${types[@]:0:i}"; do heads+=(-H "Accept: $type"); done
        [[ $(web "${heads[@]}" "https://$host/v2/releases/suite-2025/manifests/one") != 'HTTP/1.1 200'*"$oci"* ]] || ((++count))
    done
    say "$count of ${#types[@]}"
}
blob_answer() { # status and where to, without the signature; and ECR's name, if that is there
    local text
    text=$(web "https://$host/v2/releases/suite-2025/blobs/$(a_layer)")
    [[ $text != *"$ecr_host"* ]] || say "ECR's name"
    sed -n '1s/[^ ]* \([0-9]*\).*/\1/p; s|^[Ll]ocation: \(https*://[^/]*/\).*|\1|p' <<<"$text" | paste -sd ' '
}
a_layer() {
    web -H "Accept: $oci" "https://$host/v2/releases/suite-2025/manifests/one" | grep -o 'sha256:[0-9a-f]\{64\}' | tail -n 1
}
heads() { # ecr|s3|aws request|answer: how many there are
    grep -c "\"what\": \"$2\"" "$state/$1.jsonl"
}

part_pulls() {
    title "layers from S3, to which the client is sent"
    local before
    before=$(heads s3 request)
    pulls shop
    expect "S3 was asked" "$(($(heads s3 request) > before))" 1
    expect "by nobody with two ways to be admitted" "$(grep -c '"400 to' "$state/s3.jsonl")" 0
    expect "a redirect names S3, and ECR nowhere" "$(blob_answer)" "307 https://$s3_at$s3_port/"
    title "nobody pushes where nginx says so"
    before=$(wc -l <"$state/ecr.jsonl")
    each "refused:405|unsupported|read-only|not (supported|allowed)" eve push sellers/app no
    each "$denied" ann push releases/suite-2025 no
    expect "ECR heard of none of it" \
        "$(tail -n "+$((before + 1))" "$state/ecr.jsonl" | grep -cE '"request", "line": "(POST|PUT|PATCH|DELETE) ')" 0
}
part_follow() {
    title "layers from S3, by way of nginx"
    s3_for=$s3_host$s3_port ecr_is
    pulls closed
    expect "a layer comes without a redirect" "$(blob_answer 2>/dev/null)" 200
    expect "a part of it, too" "$(curl -sS -u "$creds" --cacert "$dir/ca.crt" -r 100-199 -o "$dir/part" \
        -w '%{http_code} %{size_download}' "https://$host/v2/releases/suite-2025/blobs/$(a_layer)")" "206 100"
    ecr_is
}
part_push() {
    title "a seller pushes"
    pushes sellers one
}
part_balanced() {
    title "two of each behind a balancer"
    aws_is '{"length": 2000}'
    # The first has the role of an instance, and asks over TLS; the second has that of a container.
    aws_url=https://127.0.0.1:$port_aws_tls doorward_at first-doorward "AWS_CA_BUNDLE=$dir/ca.crt" \
        AWS_EC2_METADATA_DISABLED=false "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$port_aws"
    doorward_at second-doorward "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$port_aws/role"
    local name seen
    for name in first second; do
        free_port; port_of[$name]=$port
        nginx_starts $name "$port" "AUTH=127.0.0.1:${port_of[$name-doorward]}" "SECRET_FILE=$dir/secret" PLAIN_HTTP=on \
            PROTO=https REAL_IP_FROM=127.0.0.1 PUSH=on
    done
    cat >"$dir/http.conf" <<EOF
upstream both { server 127.0.0.1:${port_of[first]}; server 127.0.0.1:${port_of[second]}; keepalive 16; }
server {
    listen 127.0.0.1:${port_of[balanced]} ssl;
    ssl_certificate $dir/ours.crt;
    ssl_certificate_key $dir/ours.key;
    client_max_body_size 0;
    location / {
        proxy_pass http://both;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host \$http_host;
        proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        proxy_request_buffering off;
        proxy_buffering off;
    }
}
EOF
    sed "s|$dir/nginx.pid|$dir/balancer.pid|" "$dir/nginx.conf" >"$dir/balancer.conf"
    start balancer nginx -p "$dir/" -c "$dir/balancer.conf"
    until_it 20 in_use "${port_of[balanced]}" || { cat "$dir/balancer.log" >&2; fail "the balancer does not start"; }
    seen=$(wc -l <"$state/ecr.jsonl")
    pulls balanced
    pushes balanced two
    expect "ECR saw the tokens of both" "$(tail -n "+$((seen + 1))" "$state/ecr.jsonl" | grep '"what": "request"' |
        grep -v '"bench"' | grep -o 'Basic [^"]*' | sort -u | wc -l)" 2
}

# How doorward proves to AWS who it is.
chained() { # what variables...: a doorward with these gets a token that ECR takes
    local got name=chain-doorward what=$1
    shift
    awaited=/livez doorward_at $name "$@"
    until_it 15 chain_has_it
    got=$(curl -sS -D - -o /dev/null --unix-socket "$dir/$name.sock" -u "${secret[ann]}" -H 'X-Original-URI: /v2/' \
        -H 'X-Original-Method: GET' -H 'X-Original-Host: localhost' -H 'X-Original-Content-Type: ct:' -H 'X-Real-IP: 127.0.0.1' \
        http://doorward/auth | tr -d '\r' | sed -n 's/^[Xx]-[Uu]pstream-[Aa]uthorization: /Authorization: /p')
    expect "$what" "$(straight "$ecr_at" -o /dev/null -w '%{http_code}' -H "$got" "https://$ecr_host$ecr_port/v2/")" 200
    [[ -n $got ]] || note_ "$(ready $name)"
    ended "${pid_of[$name]}"
}
chain_has_it() { [[ $(ready chain-doorward) == ready* && $(ready chain-doorward) != *degraded* ]]; }
part_chain() {
    title "by what doorward is known to AWS"
    aws_is '{"length": 2000}'
    local role=arn:aws:iam::123456789012:role/proxy sts=AWS_ENDPOINT_URL_STS=http://127.0.0.1:$port_aws
    chained "keys in the environment" "${keys[@]}"
    printf '[vendor]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$aws_id" "$aws_secret" >"$dir/credentials"
    upstream='profile = "vendor"' chained "a profile" "AWS_SHARED_CREDENTIALS_FILE=$dir/credentials"
    chained "a container's role" "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$port_aws/role"
    chained "an instance's role" AWS_EC2_METADATA_DISABLED=false "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$port_aws"
    upstream="role_arn = \"$role\"
external_id = \"a-vendor\"" chained "a role that is assumed" "${keys[@]}" "$sts"
    printf 'e30.e30.e30' >"$dir/identity"
    chained "a web identity" "AWS_WEB_IDENTITY_TOKEN_FILE=$dir/identity" "AWS_ROLE_ARN=$role" AWS_ROLE_SESSION_NAME=proxy "$sts"
    aws_url=https://127.0.0.1:$port_aws_tls chained "keys, over TLS" "${keys[@]}" "AWS_CA_BUNDLE=$dir/ca.crt"
    expect "signatures that were wrong" "$(grep -c '"bad signature"' "$state/aws.jsonl")" 0
}
