# What all of the image test shares: telling, waiting, and cleaning up. To be sourced.

LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

passed=0
failures=()
current=

say() { printf '%s\n' "$*"; }
note() { printf '        %s\n' "$*"; }
title() { current=$1; printf '\n== %s\n' "$1"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }       # cleaning up is the EXIT trap's

ok() { passed=$((passed + 1)); printf 'ok      %s\n' "$*"; }
failed() { failures+=("$current: $*"); printf 'FAILED  %s\n' "$*"; }

check() { # what command...: ok if it succeeds
    local what=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$what"; else failed "$what"; indent 15 <<<"$out"; fi
}

refuses() { # what pattern command...: ok if it fails and says something that matches
    local what=$1 pattern=$2 out
    shift 2
    if out=$("$@" 2>&1); then failed "$what: it succeeded"; indent 5 <<<"$out"; return; fi
    if grep -Eiq -- "$pattern" <<<"$out"; then ok "$what"; else failed "$what: it failed otherwise"; fi
    grep -v '^$' <<<"$out" | indent 3
}

same() { # what got wanted
    [[ $2 == "$3" ]] && ok "$1: $2" || failed "$1: ${2:-nothing} instead of $3"
}

at_most() { # what number limit unit
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

quietly() { # command...: what it said, and how it ended where it failed, is in $dir/out
    local status
    "$@" >"$dir/out" 2>&1
    status=$?
    ((status == 0)) || printf '%s\n' "$1 $(how_ended "$status")" >>"$dir/out"
    return $status
}

# A client that was killed says nothing; then this is all there is.
how_ended() { # status
    (($1 > 128)) && printf 'was ended by SIG%s\n' "$(kill -l "$1")" || printf 'ended with status %s\n' "$1"
}

wait_until() { # seconds command...: as soon as the command succeeds; fails when the time is up
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

turns() { # what seconds command...: ok, with the time it took, if the command succeeds in that time
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
free_port() { # sets $port; below the range from which the kernel takes the ports of outgoing connections
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        [[ $taken == *" $port "* ]] && continue
        in_use "$port" || { taken+="$port "; return; }
    done
    fail "there is no free port between 20000 and 32000"
}

# ---- what was started is stopped, and what was made is removed, in the opposite order

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/doorward-image.XXXXXX") || fail "cannot make a temporary folder"
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
    # Docker's and podman's folders are full of mounts while something still runs; rm must not follow them.
    rm -rf --one-file-system -- "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
