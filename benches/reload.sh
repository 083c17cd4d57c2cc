#!/usr/bin/env bash
# Each way of changing the htpasswd file, under steady load: how long until the change is in force, and what the other
# users notice of it (nothing). See reload.py.
#
#   CHANGES=20   times that a user is removed, and put back, in each way

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
need python3 "install it: apt-get install python3"

# In the background, so that the trap finds its process id.
python3 "$root/benches/reload.py" &
pids+=("$!")
wait "$!"
