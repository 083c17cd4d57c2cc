# doorward, and nothing else: one static program, run by a user without rights, on a root file system that may be
# read-only.
#
#     docker build -t doorward .
#     docker build --build-arg FEATURES=ecr -t doorward-ecr .       with ECR's tokens
#     docker buildx build --platform linux/amd64,linux/arm64 -t doorward .
#
# The second needs a builder that can run both (`docker run --privileged tonistiigi/binfmt --install arm64`): each
# architecture is compiled by its own compiler, emulated where the machine is another one.

# As the newest that the tests are run with; Cargo.toml says which is the oldest.
ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
# Cargo's, of doorward: ecr.
ARG FEATURES=
WORKDIR /src

# Static, with Debian's C library rather than musl: 0.9 MB more, and 2.4 rather than 2.6 us of user time for a cached
# question. Since glibc 2.34 a static program looks names up, in /etc/hosts and by DNS, without any other file.
# A target has to be named, or the flag is for build scripts and macros too, which can't be static.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_TERM_COLOR=never

# The dependencies, in a layer of their own that is made again only when these two files change. Cargo wants something
# to compile, and every file that the manifest names.
COPY Cargo.toml Cargo.lock ./
RUN set -eu; \
    mkdir -p src tests benches/storm; \
    touch src/lib.rs tests/main.rs benches/handlers.rs benches/tokens.rs benches/storm/main.rs; \
    echo 'fn main() {}' >src/main.rs; \
    target=$(rustc -vV | sed -n 's/^host: //p'); \
    cargo build --locked --release --features "$FEATURES" --target "$target"; \
    cargo clean --locked --release --target "$target" --package doorward

COPY src src
RUN set -eu; \
    target=$(rustc -vV | sed -n 's/^host: //p'); \
    cargo build --locked --release --features "$FEATURES" --bin doorward --target "$target"; \
    mkdir -p /image/etc/doorward /image/etc/ssl/certs /image/run/doorward /image/licenses; \
    cp "target/$target/release/doorward" /image/doorward; \
    # For whatever doorward will ask over https.
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; \
    # A program that is not static would fail only where it is used, without telling what it lacks.
    ! ldd /image/doorward 2>/dev/null; \
    /image/doorward --version
COPY LICENSE-* /image/licenses/

FROM scratch
COPY --from=build /image/doorward /doorward
COPY --from=build /image/etc /etc
COPY --from=build /image/licenses /licenses
# A new volume takes its owner from here, so that the socket can be made in it.
COPY --from=build --chown=65532:65532 /image/run /run

# By number: there is no /etc/passwd here, and Kubernetes' runAsNonRoot understands nothing else.
USER 65532:65532
ENTRYPOINT ["/doorward"]
CMD ["serve"]
STOPSIGNAL SIGTERM
# It asks the admin listener, 127.0.0.1:8001 unless DOORWARD_ADMIN_LISTEN or the settings file says another. One that is
# given as an argument instead has to be named here too: HEALTHCHECK CMD ["/doorward", "health", "--url", "unix:/path"].
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/doorward", "health"]

# Last, for they change with every build and are no reason to make the layers above again.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="doorward" \
      org.opencontainers.image.description="Answers nginx's auth_request from an htpasswd file" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
