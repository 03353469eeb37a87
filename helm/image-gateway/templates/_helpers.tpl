{{- define "image-gateway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "image-gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "image-gateway.labels" -}}
{{ include "image-gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Without the chart's version, so that a new chart alone makes no new replicas. */}}
{{- define "image-gateway.podLabels" -}}
{{ include "image-gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "image-gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "image-gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "image-gateway.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "image-gateway.configMap" -}}
{{ .Values.config.existingConfigMap | default (include "image-gateway.name" .) }}
{{- end -}}

{{/* The text of one of the three files: (list . "gateway") */}}
{{- define "image-gateway.file" -}}
{{- $top := index . 0 -}}
{{- $name := index . 1 -}}
{{- index $top.Values.config $name | default ($top.Files.Get (printf "files/%s.yaml" $name)) -}}
{{- end -}}

{{/* A text that is no YAML, or teams without a team, would stop every replica; they stop the release instead. */}}
{{- define "image-gateway.checkFiles" -}}
{{- $top := . -}}
{{- range $name := list "gateway" "models" "teams" -}}
{{- $read := include "image-gateway.file" (list $top $name) | fromYaml -}}
{{- if hasKey $read "Error" -}}
{{- fail (printf "config.%s: is no YAML: %s" $name $read.Error) -}}
{{- end -}}
{{- if and (eq $name "teams") (not $read.teams) -}}
{{- fail "config.teams: no team, so nobody could call: helm ... --set-file config.teams=teams.yaml, or config.existingConfigMap" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A number that is wanted twice would stop every replica, too. */}}
{{- define "image-gateway.checkPorts" -}}
{{- $ports := list 8080 (int .Values.admin.port) (int .Values.metrics.port) -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
{{- fail "admin.port and metrics.port: have to differ, and callers have 8080" -}}
{{- end -}}
{{- end -}}

{{/* Seconds of one call of a backend at most, of the grace period and of the drain, as gateway.yaml says, else as it defaults to. */}}
{{- define "image-gateway.seconds" -}}
{{- $gateway := include "image-gateway.file" (list . "gateway") | fromYaml -}}
{{- $serving := $gateway.serving | default dict -}}
{{- $deadline := 0.0 -}}
{{- range $name, $backend := $gateway.backends | default dict -}}
{{- $deadline = maxf $deadline ((hasKey $backend "deadline_seconds") | ternary $backend.deadline_seconds 300) -}}
{{- end -}}
deadline: {{ (eq $deadline 0.0) | ternary 300 ($deadline | ceil | int) }}
grace: {{ (hasKey $serving "grace_seconds") | ternary $serving.grace_seconds 5 | ceil | int }}
drain: {{ (hasKey $serving "drain_seconds") | ternary $serving.drain_seconds 310 | ceil | int }}
{{- end -}}

{{- define "image-gateway.terminationGracePeriodSeconds" -}}
{{- $seconds := include "image-gateway.seconds" . | fromYaml -}}
{{- with .Values.shutdown -}}
{{- .terminationGracePeriodSeconds | default (add .preStopSeconds $seconds.grace $seconds.drain $seconds.deadline) | int -}}
{{- end -}}
{{- end -}}

{{/* How long proxies in front have to wait for an answer. */}}
{{- define "image-gateway.requestSeconds" -}}
{{- $seconds := include "image-gateway.seconds" . | fromYaml -}}
{{- .Values.requestSeconds | default (add $seconds.deadline 60) | int -}}
{{- end -}}

{{/* What controllers of Ingresses call patience and large bodies. A call may cost money, so none may be sent a second time. */}}
{{- define "image-gateway.ingressAnnotations" -}}
{{- $seconds := include "image-gateway.requestSeconds" . -}}
{{- $gateway := include "image-gateway.file" (list . "gateway") | fromYaml -}}
{{- $bytes := dig "requests" "max_form_bytes" 838860800 $gateway | int64 -}}
{{- if eq .Values.ingress.controller "nginx" -}}
nginx.ingress.kubernetes.io/proxy-body-size: {{ div (add $bytes 1048575) 1048576 }}m
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-next-upstream: "off"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $seconds | quote }}
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $seconds | quote }}
{{- else if eq .Values.ingress.controller "haproxy" -}}
haproxy.org/timeout-server: {{ $seconds }}s
{{- else if eq .Values.ingress.controller "alb" -}}
alb.ingress.kubernetes.io/healthcheck-path: /health/ready
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ $seconds }}
alb.ingress.kubernetes.io/target-type: ip
{{- end -}}
{{- end -}}

{{/* Where secrets lie that are files. */}}
{{- define "image-gateway.secretFolder" -}}
/run/secrets/image-gateway
{{- end -}}

{{/* One variable out of a Secret, or where its file is: (list . "NAME" entry) */}}
{{- define "image-gateway.secretVariable" -}}
{{- $top := index . 0 -}}
{{- $name := index . 1 -}}
{{- $entry := index . 2 -}}
{{- if $entry.file }}
- { name: {{ $name }}_FILE, value: {{ include "image-gateway.secretFolder" $top }}/{{ $name }} }
{{- else }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $entry.secret | default $top.Values.secrets.name }}
      key: {{ $entry.key | default $name }}
      {{- if $entry.optional }}
      optional: true
      {{- end }}
{{- end }}
{{- end -}}

{{/* The sources of a volume with every secret that is a file; nothing if none is. */}}
{{- define "image-gateway.secretSources" -}}
{{- range $name, $entry := .Values.secrets.variables }}
{{- if $entry.file }}
- secret:
    name: {{ $entry.secret | default $.Values.secrets.name }}
    items: [{ key: {{ $entry.key | default $name }}, path: {{ $name }} }]
{{- end }}
{{- end }}
{{- end -}}

{{/* One rule of egress: (list peers ports protocols) */}}
{{- define "image-gateway.egress" -}}
{{- $peers := index . 0 -}}
{{- $ports := index . 1 -}}
{{- $protocols := index . 2 -}}
- ports:
    {{- range $port := $ports }}
    {{- range $protocol := $protocols }}
    - { port: {{ $port }}, protocol: {{ $protocol }} }
    {{- end }}
    {{- end }}
  {{- with $peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
