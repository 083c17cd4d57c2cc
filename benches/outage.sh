#!/usr/bin/env bash
# The service that an http authenticator asks is killed, hangs, or answers 500, while known users, new ones and guessers go
# on asking doorward; then it is back. Who was admitted and who was refused, how long answers took meanwhile, and how soon
# everything was as before. It ends with 1 if anybody was admitted or refused who should not have been.

set -uo pipefail
# shellcheck source=benches/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_doorward
bench_binary storm

DOORWARD=$doorward "$binary" outage
