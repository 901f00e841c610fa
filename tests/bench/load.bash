# The load. Sourced by tests/bench/run. Each function measures once, and appends to the file of samples.

sample() { # NAME VALUE
    echo "$1 $2" >> samples
}
# A note below the table.
note() { # WORDS...
    echo "- $*" >> notes
}
# Requests for the signed manifest by wrk, HTTP/1.1: rate, p99 in ms, CPU time of the server in µs per request.
ask() { # NAME URL PID...
    local before after
    before=$("$FIGURES" cpu "${@:3}")
    wrk -t1 -c32 -d"${SECONDS_EACH}s" --latency -H "$ACCEPT" "$2" > wrk.out
    after=$("$FIGURES" cpu "${@:3}")
    ! grep -q '^ *Non-2xx\|Socket errors' wrk.out || { cat wrk.out >&2; exit 1; }
    awk -v name="$1" -v cpu="$(cpu_between "$before" "$after")" '
        $1 == "99%" { p = $2; p99 = p ~ /us$/ ? p / 1000 : p ~ /ms$/ ? p + 0 : p * 1000 }
        $1 == "Requests/sec:" { rate = $2 }
        $2 == "requests" && $3 == "in" { n = $1 }
        END { printf "%s.rate %.0f\n%s.p99 %.3f\n%s.cpu %.2f\n%s.answered %d\n",
            name, rate, name, p99, name, cpu * 1e6 / n, name, n }' wrk.out >> samples
}
# The same with h2load, HTTP/2, one request at a time on each of 32 connections.
ask_http2() { # NAME URL PID...
    local before after
    before=$("$FIGURES" cpu "${@:3}")
    rm -f h2load.requests
    h2load -t1 -c32 -m1 -D"$SECONDS_EACH" --log-file=h2load.requests -H "$ACCEPT" "$2" > h2load.out
    after=$("$FIGURES" cpu "${@:3}")
    grep -q '^status codes: [1-9][0-9]* 2xx, 0 3xx, 0 4xx, 0 5xx$' h2load.out || { cat h2load.out >&2; exit 1; }
    cut -f3 h2load.requests | sort -n | awk -v name="$1" -v seconds="$SECONDS_EACH" \
        -v cpu="$(cpu_between "$before" "$after")" '
        { took[NR] = $1 }
        END { printf "%s.rate %.0f\n%s.p99 %.3f\n%s.cpu %.2f\n",
            name, NR / seconds, name, took[int(NR * 0.99)] / 1000, name, cpu * 1e6 / NR }' >> samples
}
cpu_between() { awk -v before="$1" -v after="$2" 'BEGIN { print after - before }'; }

# Clients that discard blobs: MB/s, s, ms to the first byte, CPU time of the server in s per GB, its peak memory in MiB.
read_away() { # NAME PIDS OPTION... URL...: the process ids of the server, separated by commas
    "$FIGURES" read "$1" --pid "$2" "${@:3}" >> samples
}
