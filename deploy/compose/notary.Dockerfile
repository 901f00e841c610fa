# notary-server and notary-signer 0.7 as packaged by Debian, and a script that creates their certificates.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends notary openssl \
    && rm -rf /var/lib/apt/lists/*
COPY certificates /usr/local/bin/certificates
COPY server.json signer.json /etc/notary/
