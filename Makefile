# make run     start nginx, doorward and a registry on loopback, ready for docker login
# make test    run every test, with the real nginx, registry and skopeo
# make test-options   check 10,000 random option sets of `doorward proxy-config nginx`, and start 200 of them
# make test-browser   use a registry from a web page in Chromium, which it installs (130 MB)
# make test-conformance   run the OCI conformance suite against a registry alone and behind doorward; needs Go
# make test-clients   print the messages of nine registry clients; needs Go, and root for buildah and ctr
# make test-nginx-versions   run the tests with nginx 1.18, that of Debian 13 and the newest; NGINX_VERSIONS="sid" tests others
# make test-attacks   run the attack tests at full size, and print the figures
# make image-test   test the images and the compose files, with docker, podman and skopeo; needs root
# make lint    check format, all targets with all feature sets, documentation, licences and banned crates
# make words   check the words of documentation and messages; PARTS="README.md src/authn" limits it to these paths
# make bench   measure the figures of the README; `make benches` lists them
# make bench-check   compare the instructions of a request with benches/budget.txt; UPDATE=1 writes that file
# make compare   compare doorward with other servers (docs/performance.md); PARTS="floor pull" limits it to these parts
# make fuzz    fuzz every parser and verifier, each for a minute (FUZZ_SECONDS=60)
# make audit   check for known advisories; needs the network
#
# Each target installs missing packages on Debian, as root or with sudo.

.DEFAULT_GOAL := help
.PHONY: help run test test-nginx-versions test-attacks test-options test-browser test-conformance test-clients image-test lint words words-build \
  bench benches bench-check compare compare-build fuzz audit

CARGO := tests/need cargo --
SHELL := /bin/bash

help:
	@sed -n 's/^# make/make/p' Makefile

run:
	@tests/need cc nginx docker-registry curl openssl
	@$(CARGO) build --release
	@nginx/run.sh

test:
	@tests/need cc nginx docker-registry skopeo htpasswd mkpasswd curl openssl python3 python3-passlib python3-argon2 \
	  python3-ensurepip systemd-socket-activate busybox git
	@$(CARGO) test --all-features --lib --bins --tests

NGINX_VERSIONS := bullseye trixie mainline

test-nginx-versions:
	@tests/need cc nginx docker-registry skopeo curl openssl python3-pip busybox
	@failed=; versions=$$(tests/nginx_versions $(NGINX_VERSIONS)) || exit 1; \
	  while read -r version path; do \
	    echo "== nginx $$version"; \
	    NGINX=$$path $(CARGO) test --all-features --test it nginx:: </dev/null || failed="$$failed $$version"; \
	  done <<<"$$versions"; \
	  [ -z "$$failed" ] || { echo "failed with nginx$$failed"; exit 1; }

test-attacks:
	@tests/need cc nginx docker-registry skopeo htpasswd curl openssl python3
	@DOORWARD_TEST_SCALE=full $(CARGO) test --release --all-features --test it attacks:: -- --nocapture --test-threads=1

test-options:
	@tests/need cc nginx curl
	@DOORWARD_TEST_SCALE=full $(CARGO) test --all-features --test it proxy_config::random_options:: -- --nocapture

test-browser:
	@tests/need cc nginx docker-registry skopeo chromium
	@$(CARGO) test --all-features --test it proxy_config::browser:: -- --ignored

test-conformance:
	@tests/need cc nginx docker-registry htpasswd python3
	@$(CARGO) build --release
	@tests/conformance/run

test-clients:
	@tests/need cc nginx htpasswd python3 skopeo buildah containerd
	@$(CARGO) build --release
	@tests/clients/run

image-test:
	@tests/image/run $(SECTIONS)

# With a single feature, no features and all features are all feature sets.
FEATURES := $(shell sed -n '/^\[features\]/,/^$$/s/^\([a-z0-9_-]*\) *=.*/\1/p' Cargo.toml)

lint:
	@tests/need cc g++ cargo-deny
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets --all-features -- -D warnings
	@$(CARGO) clippy --all-targets -- -D warnings
	@$(if $(word 2,$(FEATURES)),for feature in $(FEATURES); do $(CARGO) clippy --features $$feature -- -D warnings || exit 1; done)
	@$(CARGO) check --manifest-path fuzz/Cargo.toml --target-dir target
	@$(CARGO) check --manifest-path tests/compat/Cargo.toml --target-dir target
	@$(MAKE) --no-print-directory compare-build
	@PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" rustfmt --edition 2024 --check benches/compare/main.rs
	@for script in benches/*.sh fuzz/*.sh; do bash -n $$script || exit 1; done
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --all-features --no-deps --document-private-items
	@$(CARGO) deny --log-level error check bans licenses sources
	@$(MAKE) --no-print-directory words-build
	@target/words .

# The check of words (tests/layering/words.rs) does not use the crate, so rustc alone builds it in seconds.
words-build:
	@mkdir -p target
	@PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" \
	  rustc --edition 2024 -O -D warnings -o target/words tests/layering/words/main.rs

words:
	@tests/need cargo
	@$(MAKE) --no-print-directory words-build
	@target/words . $(PARTS)

BENCHES := size.sh instructions.sh
STORM := first guesses reload million refusals memory

bench: benches
	@tests/need cc nginx wrk valgrind openssl htpasswd python3 skopeo docker-registry
	@$(CARGO) build --release
	@for bench in $(BENCHES); do echo; echo "== benches/$$bench"; "benches/$$bench" || exit 1; done
	@$(CARGO) bench --bench tokens
	@for part in $(STORM); do echo; echo "== storm $$part"; $(CARGO) bench --quiet --bench storm -- $$part || exit 1; done
	@$(MAKE) --no-print-directory compare-build
	@target/compare

# The comparison does not use the crate either. It starts doorward as a program.
compare-build:
	@mkdir -p target
	@PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" \
	  rustc --edition 2024 -O -D warnings -o target/compare benches/compare/main.rs

compare:
	@tests/need cc nginx wrk openssl htpasswd python3 skopeo docker-registry
	@$(if $(DOORWARD),,$(CARGO) build --release)
	@$(MAKE) --no-print-directory compare-build
	@target/compare $(PARTS)

benches:
	@for bench in $(BENCHES); do printf '%-32s %s\n' "benches/$$bench" "$$(sed -n '2s/^# //p' benches/$$bench)"; done
	@printf '%-32s %s\n' "cargo bench --bench tokens" "$$(sed -n '1s/^..! //p' benches/tokens.rs)"
	@sed -n 's/^..! \(cargo bench --bench storm -- .*\)/\1/p' benches/storm/main.rs
	@sed -n 's/^..! compare \([a-z][a-z]*\)  *\(.*\)/make compare PARTS=\1\t\2/p' benches/compare/main.rs | expand -t 33

bench-check:
	@tests/need cc valgrind nginx curl
	@$(CARGO) build --release
	@UPDATE=$(UPDATE) benches/instructions.sh check

FUZZ_SECONDS := 60

fuzz:
	@tests/need cc g++
	@fuzz/run.sh $(FUZZ_SECONDS)

audit:
	@tests/need cc cargo-deny
	@$(CARGO) deny check advisories
