# The servers of the benchmark. Sourced by tests/bench/run. They listen on loopback, use the folder $WORK, and are ended
# by process id.

# The running processes, by id.
declare -A RUNNING=()

# Starts a program in the background and sets PID to its id. It ends with this script.
begin() { # LOG COMMAND...
    setpriv --pdeathsig TERM -- "${@:2}" > "$1.log" 2>&1 & PID=$!
    RUNNING[$PID]=$1
}
# Ends programs. Kills those that do not end within ten seconds.
end() { # PID...
    local pid
    kill "$@" 2> /dev/null || true
    for pid in "$@"; do
        for _ in $(seq 200); do kill -0 "$pid" 2> /dev/null || break; sleep 0.05; done
        kill -KILL "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
        unset "RUNNING[$pid]"
    done
}
until_ok() { # COMMAND...
    for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; sleep 0.05; done
    echo "never: $*" >&2
    tail -n 20 -- *.log >&2
    exit 1
}
# Ports below the range of outgoing connections.
free_ports() { # COUNT
    python3 - "$1" <<'PY'
import random, socket, sys
sockets = []
while len(sockets) < int(sys.argv[1]):
    s = socket.socket()
    try: s.bind(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError: continue
    sockets.append(s)
print(*(s.getsockname()[1] for s in sockets))
PY
}
get() { curl -sf --max-time 120 "$@"; }
check() { # DIGEST URL [CURL-OPTION...]: fails unless URL serves DIGEST
    local got
    got=$(get "${@:3}" "$2" | sha256sum | cut -d' ' -f1)
    [[ sha256:$got == "$1" ]] || { echo "$2 served $got instead of $1" >&2; exit 1; }
}

# --- a registry with images -------------------------------------------------------------------------

registry_config() { # FOLDER PORT
    printf '%s\n' 'version: 0.1' 'log: {level: error, accesslog: {disabled: true}}' \
        "storage: {filesystem: {rootdirectory: $WORK/$1}, delete: {enabled: true}}" "http: {addr: 127.0.0.1:$2}"
}
start_registry() {
    [[ -z ${REGISTRY_PID:-} ]] || return 0
    registry_config registry "$REGISTRY_PORT" > registry.yml
    OTEL_TRACES_EXPORTER=none begin registry docker-registry serve registry.yml
    REGISTRY_PID=$PID REGISTRY=http://127.0.0.1:$REGISTRY_PORT
    until_ok get "$REGISTRY/v2/"
}
# Publishes and signs library/NAME:v1. Sets IMAGE_DIGEST and LAYERS (the digests of its layers).
publish_image() { # NAME SIZE...
    local length
    start_registry
    start_notary
    python3 "$BENCH/publish.py" image "$REGISTRY" "library/$1" "${@:2}" > "image-$1"
    read -r IMAGE_DIGEST length LAYERS < "image-$1"
    sign init -p "bench.test/library/$1"
    sign key rotate "bench.test/library/$1" snapshot -r
    sign addhash -p "bench.test/library/$1" v1 "$length" --sha256 "${IMAGE_DIGEST#sha256:}"
}

# --- a fast upstream: files in a folder, and a log of requests ---------------------------------------

start_origin() {
    [[ -z ${ORIGIN_PID:-} ]] || return 0
    mkdir -p origin
    cat > origin.conf <<CONF
daemon off; worker_processes auto; pid origin.pid; error_log origin.err;
events { worker_connections 4096; }
http {
    client_body_temp_path ob; proxy_temp_path op; fastcgi_temp_path of; uwsgi_temp_path ou; scgi_temp_path os;
    log_format one '\$request_method \$uri \$http_range'; access_log $WORK/origin-access.log one;
    sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    server {
        listen 127.0.0.1:$ORIGIN_PORT;
        root $WORK/origin;
        add_header Docker-Distribution-Api-Version registry/2.0;
        location = /v2/ { default_type application/json; return 200 '{}'; }
        location ~ /blobs/(?<digest>.*)\$ {
            default_type application/octet-stream;
            add_header Docker-Content-Digest \$digest;
        }
    }
}
CONF
    begin origin nginx -p "$WORK" -c origin.conf
    ORIGIN_PID=$PID ORIGIN=http://127.0.0.1:$ORIGIN_PORT
    until_ok get "$ORIGIN/v2/"
}
# Publishes blobs for library/blobs at the fast upstream. Sets DIGESTS.
publish_blobs() { # SIZE...
    start_origin
    mapfile -t DIGESTS < <(python3 "$BENCH/publish.py" blobs origin library/blobs "$@")
    [[ ${#DIGESTS[@]} == "$#" ]]
}
asked_of_origin() { # DIGEST: the number of requests since the log was last emptied
    grep -c "$1" origin-access.log || true
}

# --- a Notary server -------------------------------------------------------------------------------

start_notary() {
    [[ -z ${NOTARY_PID:-} ]] || return 0
    cat > notary.json <<CONF
{"server": {"http_addr": "127.0.0.1:$NOTARY_PORT", "tls_cert_file": "server.crt", "tls_key_file": "server.key"},
 "trust_service": {"type": "local", "hostname": "", "port": "", "key_algorithm": "ed25519"},
 "logging": {"level": "error"}, "storage": {"backend": "memory"}}
CONF
    begin notary notary-server -config notary.json
    NOTARY_PID=$PID
    until_ok curl -s --cacert ca.crt "https://localhost:$NOTARY_PORT/"
}
sign() {
    NOTARY_ROOT_PASSPHRASE=password1 NOTARY_TARGETS_PASSPHRASE=password1 NOTARY_SNAPSHOT_PASSPHRASE=password1 \
        timeout 60 notary -s "https://localhost:$NOTARY_PORT" --tlscacert ca.crt -d keys "$@" > /dev/null
}
make_certificates() {
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    {
        openssl req -x509 "${key[@]}" -keyout ca.key -out ca.crt -days 2 -subj /CN=bench
        openssl req "${key[@]}" -keyout server.key -out server.csr -subj /CN=localhost
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 \
            -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    } 2> openssl.log || { cat openssl.log >&2; exit 1; }
}

# --- the peers: each starts with an empty cache ------------------------------------------------------

# nginx as a cache of UPSTREAM: plain at $NGINX, with an access log at $NGINX_LOGGED, over TLS at $NGINX_TLS. Sets
# NGINX_PIDS to the ids of its workers.
start_nginx() { # UPSTREAM
    local location='location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_cache all; proxy_cache_valid 200 1h;
        proxy_cache_lock on; proxy_cache_lock_age 5m; proxy_cache_lock_timeout 5m; }'
    rm -rf nginx
    cat > nginx.conf <<CONF
daemon off; worker_processes auto; pid nginx.pid; error_log nginx.err;
events { worker_connections 4096; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path nb; proxy_temp_path np; fastcgi_temp_path nf; uwsgi_temp_path nu; scgi_temp_path ns;
    proxy_cache_path $WORK/nginx levels=1:2 keys_zone=all:10m use_temp_path=off;
    ssl_certificate $WORK/server.crt; ssl_certificate_key $WORK/server.key;
    upstream upstream { server ${1#http://}; keepalive 32; }
    server { listen 127.0.0.1:$NGINX_PORT; $location }
    server { listen 127.0.0.1:$NGINX_LOGGED_PORT; access_log $WORK/nginx-access.log; $location }
    server { listen 127.0.0.1:$NGINX_TLS_PORT ssl http2; $location }
}
CONF
    begin nginx nginx -p "$WORK" -c nginx.conf
    NGINX_PID=$PID NGINX=http://127.0.0.1:$NGINX_PORT NGINX_LOGGED=http://127.0.0.1:$NGINX_LOGGED_PORT
    NGINX_TLS=https://localhost:$NGINX_TLS_PORT
    until_ok get "$NGINX/v2/"
    # Without its cache loader, which ends.
    mapfile -t NGINX_PIDS < <(pgrep -P "$NGINX_PID" -f 'worker process')
    NGINX_WORK=$(IFS=,; echo "${NGINX_PIDS[*]}")
}
# docker-registry as a pull-through cache of UPSTREAM, at $CACHE.
start_cache() { # UPSTREAM
    rm -rf cache
    { registry_config cache "$CACHE_PORT"; echo "proxy: {remoteurl: \"$1\"}"; } > cache.yml
    OTEL_TRACES_EXPORTER=none begin cache docker-registry serve cache.yml
    CACHE_PID=$PID CACHE=http://127.0.0.1:$CACHE_PORT
    until_ok get "$CACHE/v2/"
}

# --- the gate ----------------------------------------------------------------------------------------

gate_config() { # NAME UPSTREAM NOTARY ANCHOR SERVER
    cat > "$1.toml" <<CONF
[server]
listen = "127.0.0.1:0"
${5:-}
[store]
path = "$1-store"
[[upstream]]
registry = "bench.test"
url = "$2"
default = true
[[anchor]]
name = "team"
scheme = "notaryv1"
url = "$3"
$4
[[rule]]
images = ["bench.test/**"]
require = ["team"]
CONF
}
bench_anchor=$'ca = "ca.crt"\ntrust_on_first_use = true'
gate_before() { # UPSTREAM [NAME] [SERVER]: the configuration of a gate that trusts the benchmark's Notary server
    gate_config "${2:-gate}" "$1" "https://localhost:$NOTARY_PORT" "$bench_anchor" "${3:-}"
}
# Starts a gate with an empty store. Sets GATE to its address and GATE_PID to its id.
start_gate() { # [NAME] [LOG-LEVEL]
    local name=${1:-gate}
    rm -rf "$name-store"
    RUST_LOG=${2:-warn} begin "$name" "$PROGRAM" serve --config "$name.toml"
    GATE_PID=$PID GATE=
    for _ in $(seq 2000); do
        GATE=$(sed -n 's|.*"\(https\?://127.0.0.1:[0-9]*\)".*|\1|p' "$name.log" | head -1)
        [[ -z $GATE ]] || return 0
        sleep 0.005
    done
    cat "$name.log" >&2
    exit 1
}

# --- a docker daemon -----------------------------------------------------------------------------------

start_docker() {
    export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/docker-config
    begin dockerd dockerd --data-root "$WORK/docker" --exec-root "$WORK/docker-exec" --pidfile "$WORK/docker.pid" \
        -H "$DOCKER_HOST" --bridge=none --iptables=false --ip6tables=false
    DOCKER_PID=$PID
    until_ok timeout 10 docker version
}

# --- the end -----------------------------------------------------------------------------------------

finish() {
    ((${#RUNNING[@]} == 0)) || end "${!RUNNING[@]}"
    # A container engine leaves mounts behind; the deepest one is removed first.
    awk -v folder="$WORK/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r umount
    rm -rf "$WORK"
}
