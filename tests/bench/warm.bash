# The rows with cached content. Sourced by tests/bench/run. Each row starts its servers, measures them in turn in each
# round, and ends them.

MANIFEST=v2/library/app/manifests/v1
ACCEPT='Accept: application/vnd.oci.image.manifest.v1+json'

# library/app:v1 with eight layers, signed. Sets APP to its digest.
signed_app() {
    [[ -z ${APP:-} ]] || return 0
    publish_image app 1000000 $(yes 1000 | head -7)
    APP=$IMAGE_DIGEST
}
# A blob of 200 MB at the fast upstream.
big_blob() {
    [[ -z ${BLOB:-} ]] || return 0
    publish_blobs 200000000
    BLOB=${DIGESTS[0]} BLOB_PATH=v2/library/blobs/blobs/${DIGESTS[0]}
}
# Notes a cache that asks upstream again for the big blob. Stored content and logs may lag behind the answers.
kept() { # WHAT WHO URL: URL of the big blob
    for _ in 1 2 3; do
        sleep 1
        : > origin-access.log
        check "$BLOB" "$3"
        sleep 0.2
        (($(asked_of_origin "$BLOB") > 0)) || return 0
    done
    note "$1: $2 asked upstream again for a blob that it had served before"
}

# A signed manifest by tag, from each cache. docker-registry's pull-through cache asks its upstream each time.
row_manifest() {
    local url quiet quiet_pid
    signed_app
    start_cache "$REGISTRY"
    start_nginx "$REGISTRY"
    gate_before "$REGISTRY"
    start_gate
    quiet=$GATE quiet_pid=$GATE_PID
    gate_before "$REGISTRY" logging
    start_gate logging info
    for url in "$CACHE" "$NGINX" "$NGINX_LOGGED" "$quiet" "$GATE"; do check "$APP" "$url/$MANIFEST" -H "$ACCEPT"; done
    for _ in $(seq "$ROUNDS"); do
        ask manifest.cache "$CACHE/$MANIFEST" "$CACHE_PID"
        ask manifest.nginx "$NGINX/$MANIFEST" "${NGINX_PIDS[@]}"
        ask manifest.gate "$quiet/$MANIFEST" "$quiet_pid"
        ask manifest-logged.nginx "$NGINX_LOGGED/$MANIFEST" "${NGINX_PIDS[@]}"
        ask manifest-logged.gate "$GATE/$MANIFEST" "$GATE_PID"
    done
    end "$GATE_PID" "$quiet_pid" "$CACHE_PID" "$NGINX_PID"
    local answered logged
    answered=$(awk '$1 == "manifest-logged.gate.answered" { n += $2 } END { print n }' samples)
    logged=$(grep -c '"verdict":"admitted"' logging.log)
    ((logged >= answered)) || { echo "$answered answers but only $logged log events" >&2; exit 1; }
    note "log: $logged events of the gate, none is missing"
}

# A blob of 200 MB that every cache has.
row_blob-hit() {
    local clients times
    big_blob
    start_cache "$ORIGIN"
    start_nginx "$ORIGIN"
    gate_before "$ORIGIN"
    start_gate
    for url in "$CACHE" "$NGINX" "$GATE"; do check "$BLOB" "$url/$BLOB_PATH"; done
    for _ in $(seq "$ROUNDS"); do
        for clients in 1 8; do
            times=$((clients == 1 ? TIMES_ALONE : TIMES_TOGETHER))
            read_away "blob-hit-$clients.cache" "$CACHE_PID" --clients $clients --times $times "$CACHE/$BLOB_PATH"
            read_away "blob-hit-$clients.nginx" "$NGINX_WORK" --clients $clients --times $times "$NGINX/$BLOB_PATH"
            read_away "blob-hit-$clients.gate" "$GATE_PID" --clients $clients --times $times "$GATE/$BLOB_PATH"
        done
    done
    kept blob-hit cache "$CACHE/$BLOB_PATH"
    kept blob-hit nginx "$NGINX/$BLOB_PATH"
    kept blob-hit gate "$GATE/$BLOB_PATH"
    end "$GATE_PID" "$CACHE_PID" "$NGINX_PID"
}

# The same two over TLS, with HTTP/1.1 and HTTP/2, with the same certificate for both.
certificate=$'tls_cert = "server.crt"\ntls_key = "server.key"'
row_tls() {
    local version clients times http
    signed_app
    start_nginx "$REGISTRY"
    gate_before "$REGISTRY" gate "$certificate"
    start_gate
    for url in "$NGINX_TLS" "$GATE"; do check "$APP" "$url/$MANIFEST" -H "$ACCEPT" --cacert ca.crt; done
    for _ in $(seq "$ROUNDS"); do
        ask tls-1-manifest.nginx "$NGINX_TLS/$MANIFEST" "${NGINX_PIDS[@]}"
        ask tls-1-manifest.gate "$GATE/$MANIFEST" "$GATE_PID"
        ask_http2 tls-2-manifest.nginx "$NGINX_TLS/$MANIFEST" "${NGINX_PIDS[@]}"
        ask_http2 tls-2-manifest.gate "$GATE/$MANIFEST" "$GATE_PID"
    done
    end "$GATE_PID" "$NGINX_PID"

    big_blob
    start_nginx "$ORIGIN"
    gate_before "$ORIGIN" gate "$certificate"
    start_gate
    for url in "$NGINX_TLS" "$GATE"; do
        for http in --http1.1 --http2; do check "$BLOB" "$url/$BLOB_PATH" --cacert ca.crt $http; done
    done
    for _ in $(seq "$ROUNDS"); do
        for version in 1 2; do
            http=(--ca ca.crt)
            ((version == 1)) || http+=(--http2)
            for clients in 1 8; do
                times=$((clients == 1 ? TIMES_ALONE : TIMES_TOGETHER))
                read_away "tls-$version-blob-$clients.nginx" "$NGINX_WORK" "${http[@]}" --clients $clients --times $times "$NGINX_TLS/$BLOB_PATH"
                read_away "tls-$version-blob-$clients.gate" "$GATE_PID" "${http[@]}" --clients $clients --times $times "$GATE/$BLOB_PATH"
            done
        done
    done
    end "$GATE_PID" "$NGINX_PID"
}

# `docker pull` of 500 MB in five layers. docker checks every digest. The image is removed after each pull.
row_docker-pull() {
    local round
    publish_image big $(yes 100000000 | head -5)
    start_nginx "$REGISTRY"
    gate_before "$REGISTRY"
    start_gate
    start_docker
    for round in warm $(seq "$ROUNDS"); do
        pull "$round" direct "$REGISTRY"
        pull "$round" nginx "$NGINX"
        pull "$round" gate "$GATE"
    done
    end "$DOCKER_PID" "$GATE_PID" "$NGINX_PID"
}
pull() { # ROUND WHO URL: library/big:v1; the pull that warms a cache does not count
    local image=${3#http://}/library/big began ended
    sync
    began=$EPOCHREALTIME
    timeout 300 docker pull --quiet "$image:v1" > docker.out
    ended=$EPOCHREALTIME
    [[ $1 == warm ]] || sample "docker-pull.$2.seconds" "$(awk -v began="$began" -v ended="$ended" 'BEGIN { print ended - began }')"
    [[ $(timeout 60 docker image inspect --format '{{index .RepoDigests 0}}' "$image:v1") == "$image@$IMAGE_DIGEST" ]]
    timeout 60 docker rmi "$image:v1" > docker.out
    [[ -z $(timeout 60 docker images --all --quiet) ]]
}
