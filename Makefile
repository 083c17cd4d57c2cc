# make run     nginx, doorward and a registry on loopback, ready for docker login
# make test    every test, against the real nginx, registry and skopeo
# make test-conformance   the OCI conformance suite: a registry alone, and behind nginx and doorward; needs Go
# make test-clients   what nine registry clients print; needs Go, and root for buildah and ctr
# make test-attacks   the attack tests at full size, with their figures
# make image-test   the image, the compose files and nginx's image, with docker, podman and skopeo; as root
# make lint    format, every target with every feature set, documentation, licences and bans
# make words   findings of the check of words; PARTS="README.md src/authn" limits it to these paths
# make bench   the figures that the README quotes, which `make benches` lists
# make fuzz    every parser and verifier, for a minute each (FUZZ_SECONDS=60)
# make audit   known advisories; needs the network
#
# Each installs what it lacks on a bare Debian machine, as root or with sudo.

.DEFAULT_GOAL := help
.PHONY: help run test test-attacks test-conformance test-clients image-test lint words words-build bench benches fuzz audit

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
	  systemd-socket-activate busybox git
	@$(CARGO) test --all-features --lib --bins --tests

test-attacks:
	@tests/need cc nginx docker-registry skopeo htpasswd curl openssl python3
	@DOORWARD_TEST_SCALE=full $(CARGO) test --release --all-features --test it attacks:: -- --nocapture --test-threads=1

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

# With one feature, no features and all features are every feature set.
FEATURES := $(shell sed -n '/^\[features\]/,/^$$/s/^\([a-z0-9_-]*\) *=.*/\1/p' Cargo.toml)

lint:
	@tests/need cc g++ cargo-deny
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets --all-features -- -D warnings
	@$(CARGO) clippy --all-targets -- -D warnings
	@$(if $(word 2,$(FEATURES)),for feature in $(FEATURES); do $(CARGO) clippy --features $$feature -- -D warnings || exit 1; done)
	@$(CARGO) check --manifest-path fuzz/Cargo.toml --target-dir target
	@$(CARGO) check --manifest-path tests/compat/Cargo.toml --target-dir target
	@for script in benches/*.sh fuzz/*.sh; do bash -n $$script || exit 1; done
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --all-features --no-deps --document-private-items
	@$(CARGO) deny --log-level error check bans licenses sources
	@$(MAKE) --no-print-directory words-build
	-@target/words --totals .

# The check of words is a test (tests/layering/words.rs) that needs nothing of the crate. rustc alone builds it in seconds.
words-build:
	@mkdir -p target
	@PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" \
	  rustc --edition 2024 -O -D warnings -o target/words tests/layering/words/main.rs

words:
	@tests/need cargo
	@$(MAKE) --no-print-directory words-build
	@target/words . $(PARTS)

BENCHES := size.sh instructions.sh nginx.sh
STORM := first guesses reload million refusals memory

bench: benches
	@tests/need cc nginx wrk valgrind openssl
	@$(CARGO) build --release
	@for bench in $(BENCHES); do echo; echo "== benches/$$bench"; "benches/$$bench" || exit 1; done
	@$(CARGO) bench --bench tokens
	@for part in $(STORM); do echo; echo "== storm $$part"; $(CARGO) bench --quiet --bench storm -- $$part || exit 1; done

benches:
	@for bench in $(BENCHES); do printf '%-32s %s\n' "benches/$$bench" "$$(sed -n '2s/^# //p' benches/$$bench)"; done
	@printf '%-32s %s\n' "cargo bench --bench tokens" "$$(sed -n '1s/^..! //p' benches/tokens.rs)"
	@sed -n 's/^..! \(cargo bench --bench storm -- .*\)/\1/p' benches/storm/main.rs

FUZZ_SECONDS := 60

fuzz:
	@tests/need cc g++
	@fuzz/run.sh $(FUZZ_SECONDS)

audit:
	@tests/need cc cargo-deny
	@$(CARGO) deny check advisories
