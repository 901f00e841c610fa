# The rows about the gate alone: memory, start, size, and one verification. Sourced by tests/bench/run.

row_small() {
    gate_before "http://127.0.0.1:$REGISTRY_PORT"
    for _ in $(seq "$ROUNDS"); do
        start_gate
        # Waits for background work after the start.
        sleep 1
        sample idle.gate.memory "$(resident "$GATE_PID")"
        end "$GATE_PID"
    done
    "$FIGURES" start $((ROUNDS * 3)) "$PROGRAM" gate.toml >> samples
    sample binary.gate.size "$(stat -c %s "$PROGRAM" | awk '{ print $1 / 1048576 }')"
}
resident() { awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$1/status"; } # PID: in MiB

row_verification() { "$FIGURES" verify >> samples; }

# 1,000 repositories after a request to each, and one repository with 10,000 tags.
row_memory() {
    local registry notary root n site
    begin site "$FIGURES" site
    site=$PID
    until_ok test -s site.log
    read -r registry notary root < site.log
    gate_config site "http://$registry" "http://$notary" "root_keys = [\"$root\"]"
    for _ in $(seq "$ROUNDS"); do
        start_gate site
        for n in $(seq -w 0 999); do
            printf 'url = "%s/v2/team/app-0%s/manifests/v1.0"\noutput = manifest\n' "$GATE" "$n"
        done > urls
        get -K urls
        sample memory-repositories.gate.memory "$(resident "$GATE_PID")"
        end "$GATE_PID"
        start_gate site
        for _ in 1 2 3 4; do get -o manifest "$GATE/v2/library/many/manifests/v1.0"; done
        sample memory-tags.gate.memory "$(resident "$GATE_PID")"
        end "$GATE_PID"
    done
    end "$site"
}
