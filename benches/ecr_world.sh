# What benches/ecr.sh runs against: AWS (moto and a proxy), ECR and S3 in front of a registry, a name server, the vendor's
# API, doorward, nginx as its image would have it, and a tap between nginx and the clients. To be sourced, after common.sh.
#
# ECR and S3 listen on addresses of loopback's own and, where that is allowed, on port 443, as the real ones do. nginx finds
# them by a name server that is a stand-in, too. The clients find S3 by its address: /etc/hosts is not a bench's to write.

ecr_host=123456789012.dkr.ecr.eu-central-1.amazonaws.com
s3_host=prod-eu-central-1-starport-layer-bucket.s3.eu-central-1.amazonaws.com
ecr_at=127.0.0.77 s3_at=127.0.0.78 elsewhere=127.0.0.79 stranger=127.0.0.80
state=$dir/state
moto_version=5.2.5
aws_id=AKIAIOSFODNN7EXAMPLE aws_secret=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY

# moto is no package of every distribution's, and its answers are looked at closely: this version, in a place of its own.
moto_server() { # sets $moto
    moto=${MOTO-}
    [[ -z $moto ]] || return 0
    local venv=${CARGO_TARGET_DIR:-$root/target}/moto-$moto_version
    moto=$venv/bin/moto_server
    [[ -x $moto ]] && return
    say "installing moto $moto_version ..." >&2
    rm -rf -- "$venv.new" "$venv"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q "moto[server]==$moto_version"; } >&2 ||
        { rm -rf -- "$venv"; fail "moto could not be installed; set MOTO=FILE to a moto_server"; }
}

put() { # file text: in one step, for it is read all the time
    printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"
}
aws_is() { put "$state/aws.json" "$1"; }
ecr_is() { # [more]: where layers are for the clients, and what else is said
    put "$state/ecr.json" "{\"s3\": \"https://${s3_for:-$s3_at$s3_port}\", \"life\": 60${1:+, $1}}"
}

front_port() { # address: sets $front to :PORT, or to nothing where it is 443
    front=
    # As a program that listens would: others may have the port at another address.
    python3 -c 'import socket, sys; socket.create_server((sys.argv[1], 443)).close()' "$1" 2>/dev/null && return
    free_port
    front=:$port
}

pair() { # name names: a certificate of our authority
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null &&
        openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
            -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2") -out "$dir/$1.crt" 2>/dev/null ||
        fail "openssl makes no certificate"
}
authority() { # name
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1 of a bench" -keyout "$dir/$1.key" -out "$dir/$1.crt" \
        2>/dev/null || fail "openssl makes no certificate"
}

# ---- AWS, ECR, S3

start_amazon() {
    mkdir -p "$state"
    authority ca
    authority other
    pair amazon "DNS:$ecr_host,DNS:$s3_host,IP:$s3_at"
    pair ours "IP:127.0.0.1,DNS:localhost"
    front_port "$ecr_at"; ecr_port=$front
    front_port "$s3_at"; s3_port=$front
    free_port; port_registry=$port
    free_port; port_moto=$port
    free_port; port_aws=$port
    free_port; port_aws_tls=$port
    free_port; port_names=$port
    aws_is '{}'
    ecr_is
    names_are "$ecr_at"
    cat >"$dir/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port_registry", secret: of-a-bench}
END
    start registry env -u REGISTRY "$registry" serve "$dir/registry.yml"
    start moto "$moto" -H 127.0.0.1 -p "$port_moto"
    start aws python3 "$root/benches/aws.py" --state "$state" --listen "127.0.0.1:$port_aws" --moto "127.0.0.1:$port_moto" \
        --key "$aws_id" "$aws_secret" --tls "127.0.0.1:$port_aws_tls" "$dir/ours.crt" "$dir/ours.key"
    start names python3 "$root/benches/ecr_names.py" "127.0.0.1:$port_names" "$state/names"
    start_ecr "$ecr_at"
    wait_for registry "$port_registry" /v2/
    until_it 30 in_use "$port_moto" || fail "moto does not start"
    until_it 30 in_use "$port_aws" || fail "aws.py does not start"
}
start_ecr() { # address; sets $pid_ecr
    start ecr python3 "$root/benches/ecr_registry.py" --state "$state" --registry "127.0.0.1:$port_registry" \
        --pair "$dir/amazon.crt" "$dir/amazon.key" --ecr "$1:${ecr_port#:}${ecr_port:-443}" --host "$ecr_host" \
        --s3 "$s3_at:${s3_port#:}${s3_port:-443}" --s3-name "$s3_host" --s3-name "$s3_at" --page 3
    pid_ecr=$pid
    until_it 30 ecr_is_up "$1" || { cat "$dir/ecr.log" >&2; fail "the stand-in for ECR does not start"; }
}
ecr_is_up() { [[ $(straight "$1" -o /dev/null -w '%{http_code}' "https://$ecr_host$ecr_port/v2/" 2>/dev/null) == 401 ]]; }
names_are() { put "$state/names" "$ecr_host $1"$'\n'"$s3_host $s3_at"; }
straight() { # address curl's arguments...: to ECR or S3, past nginx
    curl -sS -A bench --cacert "$dir/ca.crt" --connect-to "$ecr_host:${ecr_port#:}:$1:${ecr_port#:}" \
        --connect-to "$s3_host:${s3_port#:}:$s3_at:${s3_port#:}" "${@:2}"
}
ended() { # pid: stopped, and not to be stopped again, when another process may have its number
    local kept=() one
    stop "$1"
    for one in "${pids[@]}"; do [[ $one == "$1" ]] || kept+=("$one"); done
    pids=("${kept[@]}")
}
until_it() { # seconds command...
    local end=$((SECONDS + $1))
    until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}
tokens() { [[ ! -e $state/tokens.jsonl ]] || wc -l <"$state/tokens.jsonl"; }
token() { # number of the line, or $: as ECR's clients show it
    sed -n "${1}p" "$state/tokens.jsonl" | sed 's/.*"token": "\([^"]*\)".*/\1/'
}

# ---- doorward

declare -A port_of=() admin_of=() pid_of=()
# With $upstream in its table, and AWS at $aws_url.
doorward_at() { # name variables...: started with its own token; what AWS wants to know is in its environment
    local name=$1
    shift
    if [[ -z ${port_of[$name]-} ]]; then
        free_port; port_of[$name]=$port
        free_port; admin_of[$name]=$port
    fi
    {
        cat <<END
listen = ["127.0.0.1:${port_of[$name]}", "unix:$dir/$name.sock"]
socket_mode = "0666"
trusted_peers = ["127.0.0.1"]
proxy_secret_file = "$dir/secret"
END
        sed "s|https://api.example.com|http://127.0.0.1:$port_api|; s|/etc/doorward|$dir|" "$root/examples/vendor-api.toml"
        cat <<END

[[upstream]]
type = "ecr"
region = "eu-central-1"
endpoint = "${aws_url:-http://127.0.0.1:$port_aws}"
hosts = ["127.0.0.1", "localhost"]
${upstream-}

[admin]
listen = "127.0.0.1:${admin_of[$name]}"

[log]
level = "debug"
allowed_requests = true
denials_per_second = 10000

[throttle]
user_failures = 10000
network_failures = 10000
END
    } >"$dir/$name.toml"
    local unset=() variable
    for variable in "${!AWS_@}"; do unset+=(-u "$variable"); done
    start "$name" env "${unset[@]}" AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null \
        AWS_SHARED_CREDENTIALS_FILE=/dev/null "$@" "$doorward" serve --config "$dir/$name.toml"
    pid_of[$name]=$pid
    wait_for "$name" "${admin_of[$name]}" "${awaited:-/readyz}"
}
ready() { curl -sS "http://127.0.0.1:${admin_of[${1:-doorward}]}/readyz"; }
metrics() { curl -sS "http://127.0.0.1:${admin_of[${1:-doorward}]}/metrics"; }

# ---- nginx

# What the official image's entrypoint does, as nginx/run.sh has it, with an nginx that can be tapped in front of a name.
nginx_at() ( # name NAME=VALUE...: the files of an nginx in $dir/NAME, as its image would have them
    set +uo pipefail
    at=$dir/$1
    shift
    mkdir -p "$at"/{bin,logs,temp,etc/nginx/conf.d,etc/nginx/tls,var/log/nginx} && chmod 711 "$at"
    cp -R "$root/nginx/snippets" "$at/etc/nginx/doorward" && cp "$dir/ours.crt" "$at/etc/nginx/tls/tls.crt" &&
        cp "$dir/ours.key" "$at/etc/nginx/tls/tls.key" || exit
    user_line=
    ((EUID != 0)) || user_line="user nobody $(id -gn nobody);"
    built=$(nginx -V 2>&1)
    {
        say "$user_line daemon off; worker_processes auto; pid $at/nginx.pid; error_log $at/var/log/nginx/error.log info;"
        say "events { worker_connections 1024; }"
        say "http { client_body_temp_path $at/temp/body; proxy_temp_path $at/temp/proxy;"
        for module in fastcgi uwsgi scgi; do
            [[ $built == *--without-http_${module}_module* ]] || say "${module}_temp_path $at/temp/$module;"
        done
        say "include conf.d/*.conf; }"
    } >"$at/etc/nginx/nginx.conf"
    printf '#!/bin/sh\nexec "%s" -p "%s/" -c "%s/etc/nginx/nginx.conf" "$@"\n' "$(command -v nginx)" "$at" "$at" >"$at/bin/nginx"
    chmod 755 "$at/bin/nginx"
    for name in "${!NGX_DOORWARD_@}"; do unset "$name"; done
    for setting in "KIND=ecr" "BACKEND=$ecr_host$ecr_port" "BACKEND_CA=$dir/ca.crt" "RESOLVER=127.0.0.1:$port_names" "$@"; do
        export "NGX_DOORWARD_$setting"
    done
    export NGINX_ENVSUBST_TEMPLATE_DIR=$root/nginx/templates NGINX_ENVSUBST_OUTPUT_DIR=$at/etc/nginx/conf.d
    export NGX_DOORWARD_ROOT=$at NGINX_ENTRYPOINT_QUIET_LOGS=1 PATH=$at/bin:$PATH
    # shellcheck source=nginx/entrypoint/18-doorward.envsh
    . "$root/nginx/entrypoint/18-doorward.envsh" || exit
    for template in "$root"/nginx/templates/*.template; do
        text=$(<"$template") || exit
        for name in "${!NGX_DOORWARD_CONF_@}"; do text=${text//"\${$name}"/"${!name}"}; done
        file=${template##*/}
        say "$text" >"$at/etc/nginx/conf.d/${file%.template}" || exit
    done
    "$root/nginx/entrypoint/99-doorward-check.sh"
)
nginx_starts() { # name port settings...
    nginx_at "$1" "LISTEN=127.0.0.1:$2" "${@:3}" || fail "nginx $1 cannot be configured, see above"
    start "$1" "$dir/$1/bin/nginx"
    pid_of[$1]=$pid
    until_it 20 in_use "$2" || { cat "$dir/$1.log" >&2; fail "nginx $1 does not start"; }
}
