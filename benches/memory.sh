#!/usr/bin/env bash
# How many of the passwords that went through doorward to an HTTP service are still in its memory: after 300 log-ins, and
# after 5,000 more requests that carry others. It reads /proc/PID/mem, for which it has to be root. The figures are for
# people, and fail nothing: buffers of actix and of the HTTP client are not cleared, only used again.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
bench_binary storm

DOORWARD=$doorward "$binary" memory
