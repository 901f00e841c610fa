# An image of Countersign: one stage builds the program, a small second stage runs it as an unprivileged user.
#
#   docker build --tag countersign .
#   docker run --publish 5050:5050 --volume "$PWD/countersign.toml:/etc/countersign/countersign.toml:ro" \
#       --volume countersign-store:/var/lib/countersign countersign
#
# In the configuration, set `listen = "0.0.0.0:5050"`, `[clients]` (who may pull), and `path = "/var/lib/countersign"` in
# `[store]`. To use other base images: BUILDER needs a Rust toolchain, a C compiler and the root certificates of the system;
# RUNTIME needs the same or a newer glibc.
ARG BUILDER=rust:1-bookworm
ARG RUNTIME=debian:bookworm-slim

FROM ${BUILDER} AS builder
ARG PROFILE=dist
WORKDIR /build
COPY . .
RUN cargo build --locked --profile "${PROFILE}" --bin countersign --target-dir /target \
    && mkdir /store && mv /target/*/countersign /countersign

FROM ${RUNTIME}
COPY --from=builder /countersign /usr/local/bin/countersign
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder --chown=10001:10001 /store /var/lib/countersign
USER 10001:10001
EXPOSE 5050
ENTRYPOINT ["/usr/local/bin/countersign"]
CMD ["serve", "--config", "/etc/countersign/countersign.toml"]
