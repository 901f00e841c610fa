{{/* The arguments of `node-config` that write the files. */}}
{{- define "countersign.nodeWrite" -}}
{{- $nodes := .Values.nodes -}}
- node-config
- --write=/host
- --certs-dir={{ $nodes.certsDir }}
- --gate={{ $nodes.gate }}
{{- range $nodes.registries }}
- --registry={{ . }}
{{- end }}
{{- if or $nodes.ca.configMap $nodes.ca.secret }}
- --ca=/etc/countersign-node/ca/{{ $nodes.ca.key }}
{{- end }}
{{- with $nodes.credentials }}
{{- if .existingSecret }}
- --username={{ .username }}
- --password-file=/etc/countersign-node/credentials/{{ .passwordKey }}
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.nodeRemove" -}}
- node-config
- --remove=/host
- --certs-dir={{ .Values.nodes.certsDir }}
{{- end }}

{{/* One container of the DaemonSet. Call with a list: context, name, arguments as a YAML list, whether it needs the login and the CA. */}}
{{- define "countersign.nodeContainer" -}}
{{- $context := index . 0 -}}
{{- $nodes := $context.Values.nodes -}}
- name: {{ index . 1 }}
  image: {{ include "countersign.image" $context | quote }}
  # The image must not be asked for again while the gate is down.
  imagePullPolicy: IfNotPresent
  args:
    {{- index . 2 | nindent 4 }}
  securityContext:
    {{- toYaml $nodes.securityContext | nindent 4 }}
  resources:
    {{- toYaml $nodes.resources | nindent 4 }}
  volumeMounts:
    - {name: containerd, mountPath: /host/etc/containerd, readOnly: true}
    - {name: certs, mountPath: {{ printf "/host%s" $nodes.certsDir | quote }}}
    {{- if index . 3 }}
    {{- if or $nodes.ca.configMap $nodes.ca.secret }}
    - {name: ca, mountPath: /etc/countersign-node/ca, readOnly: true}
    {{- end }}
    {{- if $nodes.credentials.existingSecret }}
    - {name: credentials, mountPath: /etc/countersign-node/credentials, readOnly: true}
    {{- end }}
    {{- end }}
{{- end }}

{{/* The DaemonSet. Call with a list: context, action (write or remove), more annotations. */}}
{{- define "countersign.nodeDaemonSet" -}}
{{- $context := index . 0 -}}
{{- $writes := eq (index . 1) "write" -}}
{{- $nodes := $context.Values.nodes -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  {{- include "countersign.metadata" (list $context "nodes" "-nodes" dict (index . 2)) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "countersign.selector" (list $context "nodes") | nindent 6 }}
  updateStrategy:
    {{- toYaml $nodes.updateStrategy | nindent 4 }}
  template:
    metadata:
      labels:
        {{- include "countersign.selector" (list $context "nodes") | nindent 8 }}
        {{- with merge (dict) $nodes.podLabels $context.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with merge (dict) $nodes.podAnnotations $context.Values.commonAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- with $context.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # The account of the release is gone when the files are removed.
      serviceAccountName: default
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 10
      # The pod is ready once its init containers have succeeded. The files stay when the pod ends.
      initContainers:
        {{- if $writes }}
        {{- include "countersign.nodeContainer" (list $context "write" (include "countersign.nodeWrite" $context) true) | nindent 8 }}
        {{- if $nodes.doctor }}
        {{- $doctor := list "doctor" "--root=/host" (printf "--gate=%s" $nodes.gate) }}
        {{- range $nodes.registries }}
        {{- $doctor = append $doctor (printf "--registry=%s" .) }}
        {{- end }}
        {{- include "countersign.nodeContainer" (list $context "doctor" (toYaml $doctor) false) | nindent 8 }}
        {{- end }}
        {{- else }}
        {{- include "countersign.nodeContainer" (list $context "remove" (include "countersign.nodeRemove" $context) false) | nindent 8 }}
        {{- end }}
      containers:
        {{- $arguments := include (ternary "countersign.nodeWrite" "countersign.nodeRemove" $writes) $context }}
        {{- include "countersign.nodeContainer" (list $context "keep" (printf "%s\n- --stay" $arguments) $writes) | nindent 8 }}
      volumes:
        - name: containerd
          hostPath: {path: /etc/containerd, type: DirectoryOrCreate}
        - name: certs
          hostPath: {path: {{ $nodes.certsDir | quote }}, type: DirectoryOrCreate}
        # The removal needs neither, and they may be gone by then.
        {{- if $writes }}
        {{- with $nodes.ca.configMap }}
        - name: ca
          configMap: {name: {{ . }}}
        {{- end }}
        {{- with $nodes.ca.secret }}
        - name: ca
          secret: {secretName: {{ . }}}
        {{- end }}
        {{- with $nodes.credentials.existingSecret }}
        - name: credentials
          secret: {secretName: {{ . }}, defaultMode: 0400}
        {{- end }}
        {{- end }}
      {{- with $nodes.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $nodes.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $nodes.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $nodes.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
{{- end }}
