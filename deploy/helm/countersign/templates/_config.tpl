{{/*
What the chart reads in the gate's configuration, as YAML: the ports, whether the listener uses TLS, and whether an anchor
trusts the first root that it sees. Fails if the configuration cannot work in a pod. `countersign check` does the rest.
*/}}
{{- define "countersign.facts" -}}
{{- if not (trim .Values.config) -}}
{{- fail "config is empty: set the gate's configuration, for example with `--set-file config=countersign.toml`" -}}
{{- end -}}
{{- $toml := fromToml .Values.config -}}
{{- with get $toml "Error" -}}
{{- fail (printf "config is not valid TOML: %v" .) -}}
{{- end -}}
{{- if not (get $toml "admin") -}}
{{- fail "config has no [admin] listener, which the probes need: add `[admin]` with `listen = \"[::]:5051\"`" -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $table := list "server" "admin" "mirror" -}}
{{- $listen := toString (dig $table "listen" "" $toml) -}}
{{- if or $listen (eq $table "server") -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $listen -}}
{{- fail (printf "config: [%s] listen = %q accepts no connection from outside of the pod: write \"[::]:PORT\"" $table $listen) -}}
{{- end -}}
{{- $port := regexFind "[1-9][0-9]*$" $listen -}}
{{- if not (regexMatch ":[1-9][0-9]*$" $listen) -}}
{{- fail (printf "config: [%s] listen = %q has no fixed port: write \"[::]:PORT\"" $table $listen) -}}
{{- end -}}
{{- $_ := set $ports $table (atoi $port) -}}
{{- end -}}
{{- end -}}
{{- $path := toString (dig "store" "path" "" $toml) -}}
{{- if not (hasPrefix "/var/lib/countersign/" $path) -}}
{{- fail (printf "config: [store] path = %q is not on the volume: write \"/var/lib/countersign/store\"" $path) -}}
{{- end -}}
{{- $first := false -}}
{{- range default list (get $toml "anchor") -}}
{{- if get . "trust_on_first_use" -}}{{- $first = true -}}{{- end -}}
{{- end -}}
{{- dict "ports" $ports "tls" (ne (dig "server" "tls_cert" "" $toml) "") "firstUse" $first | toYaml -}}
{{- end }}

{{/* Rejects values that cannot work together. */}}
{{- define "countersign.validate" -}}
{{- with .Values -}}
{{- if not .image.repository -}}
{{- fail "image.repository is empty: set the repository of the gate's image (docs/kubernetes.md says how to build it)" -}}
{{- end -}}
{{- if gt (int .replicas) 1 -}}
{{- if not .persistence.enabled -}}
{{- fail (printf "replicas: %d needs a volume for each replica: set persistence.enabled to true" (int .replicas)) -}}
{{- end -}}
{{- if .persistence.existingClaim -}}
{{- fail (printf "replicas: %d needs a volume for each replica, and only one process can use a store: remove persistence.existingClaim" (int .replicas)) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .files "countersign.toml" -}}
{{- fail "files must not contain countersign.toml: it is the value of `config`" -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.hosts) -}}
{{- fail "ingress.hosts is empty: name the host of the gate" -}}
{{- end -}}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty: name the gateway" -}}
{{- end -}}
{{- if .nodes.enabled -}}
{{- if not .nodes.gate -}}
{{- fail "nodes.gate is empty: set the address of the gate as nodes reach it, such as https://gate.example.com" -}}
{{- end -}}
{{- if and (hasPrefix "http://" .nodes.gate) (not (regexMatch "^http://(127\\.|localhost(:|$)|\\[::1\\])" .nodes.gate)) -}}
{{- fail (printf "nodes.gate = %q is not protected on the network: give the gate a certificate and write https://…" .nodes.gate) -}}
{{- end -}}
{{- if and .nodes.ca.configMap .nodes.ca.secret -}}
{{- fail "nodes.ca.configMap and nodes.ca.secret exclude each other: remove one" -}}
{{- end -}}
{{- if ne (empty .nodes.credentials.existingSecret) (empty .nodes.credentials.username) -}}
{{- fail "nodes.credentials needs both existingSecret and username" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
