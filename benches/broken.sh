#!/usr/bin/env bash
# Broken htpasswd files, while doorward runs and at its start: what happens, what is logged, and the recovery. See
# broken.py.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need python3 "install it: apt-get install python3"

# In the background, so that the trap finds its process id.
python3 "$root/benches/broken.py" &
pids+=("$!")
wait "$!"
