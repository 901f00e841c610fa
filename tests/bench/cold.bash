# The rows without cached content. Sourced by tests/bench/run. Each server has just started with an empty cache. `sync`
# writes the data of one server to the disk before the next starts.

# A blob of 200 MB that is stored during the download.
row_blob-miss() {
    big_blob
    publish_blobs 1000
    gate_before "$ORIGIN"
    for _ in $(seq "$ROUNDS"); do
        start_cache "$ORIGIN"
        miss cache "$CACHE" "$CACHE_PID" "${DIGESTS[0]}"
        end "$CACHE_PID"
        start_nginx "$ORIGIN"
        miss nginx "$NGINX" "$NGINX_WORK" "${DIGESTS[0]}"
        end "$NGINX_PID"
        start_gate
        miss gate "$GATE" "$GATE_PID" "${DIGESTS[0]}"
        end "$GATE_PID"
    done
}
miss() { # WHO URL PIDS DIGEST: reads a small blob first, so that a connection to upstream exists
    get -o small "$2/v2/library/blobs/blobs/$4"
    sync
    read_away "blob-miss.$1" "$3" "$2/$BLOB_PATH"
    kept blob-miss "$1" "$2/$BLOB_PATH"
}

# Twenty blobs of 1 MB, one after the other on one connection.
row_first-byte() {
    publish_blobs 1000 $(yes 1000000 | head -20)
    gate_before "$ORIGIN"
    for _ in $(seq "$ROUNDS"); do
        first_byte direct "$ORIGIN" "$ORIGIN_PID"
        start_nginx "$ORIGIN"
        first_byte nginx "$NGINX" "$NGINX_WORK"
        end "$NGINX_PID"
        start_gate
        first_byte gate "$GATE" "$GATE_PID"
        end "$GATE_PID"
    done
}
first_byte() { # WHO URL PIDS: the first blob opens the connection to upstream
    local urls=("${DIGESTS[@]/#/$2/v2/library/blobs/blobs/}")
    get -o small "${urls[0]}"
    sync
    read_away "first-byte.$1" "$3" "${urls[@]:1}"
}

# 200 concurrent clients of one blob of 200 MB: the number of upstream requests, and the memory.
row_herd() {
    big_blob
    gate_before "$ORIGIN"
    for _ in $(seq "$ROUNDS"); do
        start_nginx "$ORIGIN"
        herd nginx "$NGINX" "$NGINX_WORK" "$NGINX_PID"
        start_gate
        herd gate "$GATE" "$GATE_PID" "$GATE_PID"
        start_cache "$ORIGIN"
        herd cache "$CACHE" "$CACHE_PID" "$CACHE_PID"
    done
    # Not measured: a check that concurrent clients get the right content.
    start_nginx "$ORIGIN"
    "$FIGURES" read checked --clients 8 --sha256 "${BLOB#sha256:}" "$NGINX/$BLOB_PATH"
    start_gate
    "$FIGURES" read checked --clients 8 --sha256 "${BLOB#sha256:}" "$GATE/$BLOB_PATH"
    end "$GATE_PID" "$NGINX_PID"
}
herd() { # WHO URL PIDS PID
    sync
    : > origin-access.log
    read_away "herd.$1" "$3" --clients 200 --within 600 "$2/$BLOB_PATH"
    # The upstream writes its log when an answer has ended, possibly after the clients have.
    sleep 0.5
    sample "herd.$1.requests" "$(asked_of_origin "$BLOB")"
    end "$4"
}

# The whole decision for an image that the gate has not seen before.
row_cold() {
    signed_app
    gate_before "$REGISTRY"
    for _ in $(seq $((ROUNDS * 3))); do
        start_gate
        pull_manifest cold.direct "$REGISTRY"
        pull_manifest cold.gate "$GATE"
        pull_manifest cold-again.gate "$GATE"
        end "$GATE_PID"
    done
}
pull_manifest() { # NAME URL
    local seconds
    seconds=$(get -H "$ACCEPT" -o manifest -w '%{time_total}' "$2/$MANIFEST")
    echo "${APP#sha256:}  manifest" | sha256sum --quiet --check
    sample "$1.milliseconds" "$(awk -v s="$seconds" 'BEGIN { print s * 1000 }')"
}
