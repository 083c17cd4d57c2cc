# A container that runs systemd, for the parts of the README without Docker. Sourced by sections/readme.sh.

machine=doorward-image-test-machine
machine_image=doorward-image-test-machine

on() { docker exec "$machine" "$@"; }
in_shell() { on bash -c "$1"; }

machine_start() { # the repository is in /srv/doorward
    docker build --tag "$machine_image" --build-arg RUST_VERSION="$rust" "$here/machine" >"$dir/build.log" 2>&1 ||
        { failed "the machine cannot be built"; indent <"$dir/build.log"; return 1; }
    at_end "docker rm -f -v $machine"
    [[ -n ${KEEP-} ]] || at_end "docker rmi $machine_image"
    # systemd needs these privileges for the sandbox of a unit. Not every engine supports --privileged.
    machine_run --privileged || machine_run --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined ||
        { failed "the machine does not start"; docker logs "$machine" 2>&1 | indent; return 1; }
    fresh
    docker cp "$copy/." "$machine:/srv/doorward" && on chown -R root:root /srv/doorward
}

machine_run() { # docker's options...
    docker rm -f -v "$machine" >/dev/null 2>&1
    docker run -d --name "$machine" --cgroupns private --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec \
        --add-host registry.example.com:127.0.0.1 "$@" "$machine_image" >"$dir/out" 2>&1 &&
        wait_until 60 machine_runs
}
machine_runs() { [[ $(on systemctl is-system-running 2>/dev/null) == @(running|degraded) ]]; }

# Runs an unchanged block of the README on the machine, in a terminal, and answers its prompts. After a command with & it
# waits until the program listens, as a user would.
machine_types() { # block [prompt answer]...
    followed+=" $1"
    { echo 'set -ex; cd /srv/doorward'; block "$1" | sed '/&$/a until (: </dev/tcp/127.0.0.1/8000); do :; done 2>&-'
    } | docker exec -i "$machine" tee /srv/block >/dev/null
    timed quietly "$here/person.py" "${@:2}" -- docker exec -it "$machine" bash /srv/block
}

machine_follows() { # block [prompt answer]...
    machine_types "$@" && ok "$1: followed in $took s" || { failed "$1"; indent 30 <"$dir/out"; return 1; }
}

# Prints the status that nginx on the machine returns for USER:PASSWORD.
registry_says() { on curl -s -o /dev/null -w '%{http_code}' ${1:+--user "$1"} https://registry.example.com/v2/; }
registry_is() { [[ $(registry_says "${2-}") == "$1" ]]; }        # status [user:password]
