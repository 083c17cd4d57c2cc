#!/usr/bin/env bash
# A million users: load time, memory, a reload under load, and the cost of a cached answer. See million.py, which also
# says what LINES, STARTS, RELOADS and ROUNDS are.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need wrk "install it: apt-get install wrk"
need python3 "install it: apt-get install python3"

# In the background, so that the trap finds its process id.
python3 "$root/benches/million.py" &
pids+=("$!")
wait "$!"
