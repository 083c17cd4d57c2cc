#!/usr/bin/env bash
# A policy and its groups are edited under steady load: how long until a change is in force, and whether any request was
# judged by half of it (none). See policy_reload.py. Ends with 1 if a target is missed.
#
#   EDITS=20   times that each of the two files is changed

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need python3 "install it: apt-get install python3"

# In the background, so that the trap finds its process id.
python3 "$root/benches/policy_reload.py" &
pids+=("$!")
wait "$!"
