# Debian's notary-server and notary-signer 0.7, and what makes their certificates.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends notary openssl \
    && rm -rf /var/lib/apt/lists/*
COPY certificates /usr/local/bin/certificates
COPY server.json signer.json /etc/notary/
