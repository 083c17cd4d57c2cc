# Functions of all sections: output, waiting and clean-up. Sourced by run.

LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

passed=0
failures=()
current=

say() { printf '%s\n' "$*"; }
note() { printf '        %s\n' "$*"; }
title() { current=$1; printf '\n== %s\n' "$1"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }       # the EXIT trap cleans up

ok() { passed=$((passed + 1)); printf 'ok      %s\n' "$*"; }
failed() { failures+=("$current: $*"); printf 'FAILED  %s\n' "$*"; }

check() { # name command...: ok if the command succeeds
    local what=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$what"; else failed "$what"; indent 15 <<<"$out"; fi
}

refuses() { # name pattern command...: ok if the command fails with output that matches
    local what=$1 pattern=$2 out
    shift 2
    if out=$("$@" 2>&1); then failed "$what: it succeeded"; indent 5 <<<"$out"; return; fi
    if grep -Eiq -- "$pattern" <<<"$out"; then ok "$what"; else failed "$what: it failed with other output"; fi
    grep -v '^$' <<<"$out" | indent 3
}

same() { # name actual expected
    [[ $2 == "$3" ]] && ok "$1: $2" || failed "$1: ${2:-nothing} instead of $3"
}

at_most() { # name number limit unit
    awk -v a="$2" -v b="$3" 'BEGIN { exit !(a <= b) }' && ok "$1: $2 $4 (at most $3)" || failed "$1: $2 $4 (at most $3)"
}

indent() { tail -n "${1:-20}" | sed 's/^/        | /'; }

report() {
    printf '\n%d passed, %d failed\n' "$passed" "${#failures[@]}"
    ((${#failures[@]} == 0)) && exit 0
    printf 'FAILED  %s\n' "${failures[@]}"
    exit 1
}

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
timed() { # command...: sets $took, in seconds
    local begin status
    begin=$(now)
    "$@"
    status=$?
    took=$(since "$begin")
    return $status
}

quietly() { # command...: writes its output, and its exit if it failed, to $dir/out
    local status
    "$@" >"$dir/out" 2>&1
    status=$?
    ((status == 0)) || printf '%s\n' "$1 $(how_ended "$status")" >>"$dir/out"
    return $status
}

# Describes an exit status. A client that was killed prints nothing else.
how_ended() { # status
    (($1 > 128)) && printf 'was ended by SIG%s\n' "$(kill -l "$1")" || printf 'ended with status %s\n' "$1"
}

wait_until() { # seconds command...: waits until the command succeeds, and fails after this time
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

turns() { # name seconds command...: ok if the command succeeds within this time, which is printed
    local what=$1 limit=$2
    shift 2
    timed wait_until "$limit" "$@" && ok "$what after $took s" || { failed "$what: not in $limit s"; return 1; }
}

median() {
    printf '%s\n' "$@" | sort -g |
        awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f\n", a / b; else print "-" }'; }

in_use() { { : 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; }

taken=' '
free_port() { # sets $port, below the range that the kernel uses for outgoing connections
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        [[ $taken == *" $port "* ]] && continue
        in_use "$port" || { taken+="$port "; return; }
    done
    fail "there is no free port between 20000 and 32000"
}

# ---- clean-up, in reverse order

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/doorward-image.XXXXXX") || fail "cannot create a temporary folder"
chmod 711 "$dir"
undo=()

at_end() { undo+=("$*"); }

stop() { # pid: SIGTERM, and SIGKILL if that is not enough
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in {1..200}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

clean_up() {
    trap '' INT TERM
    local i
    for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}" >/dev/null 2>&1; done
    # The folders of docker and podman contain mounts while a container runs. rm must not follow them.
    rm -rf --one-file-system -- "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
