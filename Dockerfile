# An image with doorward only: one static program, which runs as an unprivileged user. The root file system can be
# read-only.
#
#     docker build -t doorward .
#     docker build --build-arg FEATURES=ecr -t doorward-ecr .       with ECR tokens
#     docker buildx build --platform linux/amd64,linux/arm64 -t doorward .
#
# The last command needs a builder that can run both architectures (`docker run --privileged tonistiigi/binfmt --install
# arm64`). Each architecture is compiled by its own compiler, which is emulated on other machines.

# The newest version that the tests use. Cargo.toml has the oldest one.
ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-slim-bookworm AS build
# Cargo features of doorward: ecr.
ARG FEATURES=
WORKDIR /src

# Static, with glibc instead of musl: 0.9 MB larger, but a cached /auth takes 2.4 us of user time instead of 2.6. Since glibc
# 2.34 a static program resolves names from /etc/hosts and DNS without other files. With an explicit target the flag does
# not apply to build scripts and procedural macros, which cannot be static.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_TERM_COLOR=never

# A layer with the dependencies, which is rebuilt only if these two files change. Cargo requires every file that the
# manifest names, so empty ones are created.
COPY Cargo.toml Cargo.lock ./
RUN set -eu; \
    mkdir -p src tests benches/storm; \
    touch src/lib.rs tests/main.rs benches/handlers.rs benches/tokens.rs benches/storm/main.rs; \
    echo 'fn main() {}' >src/main.rs; \
    target=$(rustc -vV | sed -n 's/^host: //p'); \
    cargo build --locked --release --features "$FEATURES" --target "$target"; \
    cargo clean --locked --release --target "$target" --package doorward

# The templates of `doorward proxy-config` are compiled in.
COPY askama.toml ./
COPY nginx/templates nginx/templates
COPY src src
RUN set -eu; \
    target=$(rustc -vV | sed -n 's/^host: //p'); \
    cargo build --locked --release --features "$FEATURES" --bin doorward --target "$target"; \
    mkdir -p /image/etc/doorward /image/etc/ssl/certs /image/run/doorward /image/licenses; \
    cp "target/$target/release/doorward" /image/doorward; \
    # Certificate authorities for https requests of doorward.
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; \
    # Fail here if the program is not static. Otherwise it would fail at its start, without a useful message.
    ! ldd /image/doorward 2>/dev/null; \
    /image/doorward --version
COPY LICENSE-* /image/licenses/

FROM scratch
COPY --from=build /image/doorward /doorward
COPY --from=build /image/etc /etc
COPY --from=build /image/licenses /licenses
# A new volume gets the owner of this folder, so that doorward can create its socket there.
COPY --from=build --chown=65532:65532 /image/run /run

# Numeric, because there is no /etc/passwd, and runAsNonRoot of Kubernetes requires a number.
USER 65532:65532
ENTRYPOINT ["/doorward"]
CMD ["serve"]
STOPSIGNAL SIGTERM
# The health check uses the admin listener: DOORWARD_ADMIN_LISTEN, the settings file, or 127.0.0.1:8001. If the listener is
# set by a command line argument, set it here too: HEALTHCHECK CMD ["/doorward", "health", "--url", "unix:/path"].
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/doorward", "health"]

# At the end, because these change with every build and must not invalidate the layers above.
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
