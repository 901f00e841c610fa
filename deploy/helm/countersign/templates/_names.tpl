{{- define "countersign.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: the names of the pods and of other objects are longer. */}}
{{- define "countersign.fullname" -}}
{{- $name := include "countersign.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "countersign.serviceAccountName" -}}
{{ default (ternary (include "countersign.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "countersign.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end -}}
{{- end }}

{{/* The labels that select the pods of one component. Call with a list: context, component. */}}
{{- define "countersign.selector" -}}
{{- $context := index . 0 -}}
app.kubernetes.io/name: {{ include "countersign.name" $context }}
app.kubernetes.io/instance: {{ $context.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The metadata of an object. Call with a list: context, component, end of the name, more labels, more annotations. */}}
{{- define "countersign.metadata" -}}
{{- $context := index . 0 -}}
name: {{ include "countersign.fullname" $context }}{{ index . 2 }}
namespace: {{ $context.Release.Namespace }}
labels:
  {{- include "countersign.selector" (list $context (index . 1)) | nindent 2 }}
  app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ $context.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" }}
  {{- with merge (dict) (index . 3) $context.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (index . 4) $context.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
