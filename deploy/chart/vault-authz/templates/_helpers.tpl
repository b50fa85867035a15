{{- define "vault-authz.name" -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vault-authz.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "vault-authz.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "vault-authz.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vault-authz.labels" -}}
{{ include "vault-authz.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "vault-authz.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* The port of an address such as :9191, for a setting of the configuration. */}}
{{- define "vault-authz.port" -}}
{{- if not (regexMatch ":[0-9]+$" (toString .address)) }}{{ fail (printf "config.%s is %q: write an address with a port, such as :9191; in a pod of its own a socket is of no use" .setting (toString .address)) }}{{ end }}
{{- regexFind "[0-9]+$" (toString .address) }}
{{- end }}

{{- define "vault-authz.seconds" -}}
{{- if not (regexMatch "^[0-9]+s$" (toString .value)) }}{{ fail (printf "config.%s is %q: write whole seconds, such as 5s; the chart adds them up for terminationGracePeriodSeconds" .setting (toString .value)) }}{{ end }}
{{- trimSuffix "s" .value }}
{{- end }}

{{/* How the probes and metrics are asked. */}}
{{- define "vault-authz.scheme" -}}
{{- $probes := .Values.config.probes | default dict }}
{{- if $probes.client_ca_file }}{{ fail "config.probes.client_ca_file: the kubelet has no client certificate for its probes; leave it out, networkPolicy.prometheus says who may read the metrics" }}{{ end }}
{{- ternary "https" "http" (not (empty $probes.cert_file)) }}
{{- end }}

{{/* The part of the configuration whose changes replace the pods. */}}
{{- define "vault-authz.restarting" -}}
{{- if .Values.reload }}
{{- $log := .Values.config.log | default dict }}
{{- $decisions := omit ($log.decisions | default dict) "level" }}
{{- toYaml (omit .Values.config "vaults" "consumers" "policies" "log") }}
{{ toYaml (omit $log "level" "allow_sample" "decisions") }}
{{ toYaml $decisions }}
{{- $state := dig "state" "vault" "" .Values.config }}
{{- range .Values.config.vaults }}{{ if eq (toString .name) $state }}
{{ toYaml . }}
{{- end }}{{ end }}
{{- else }}
{{- toYaml .Values.config }}
{{- end }}
{{- end }}

{{- define "vault-authz.pod" -}}
{{- $drain := .Values.config.drain }}
metadata:
  labels:
    {{- include "vault-authz.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # With reload, of the settings that need a restart only.
    checksum/config: {{ include "vault-authz.restarting" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "vault-authz.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # drain.wait and drain.timeout, and a little more.
  terminationGracePeriodSeconds: {{ add 5 (include "vault-authz.seconds" (dict "setting" "drain.wait" "value" $drain.wait)) (include "vault-authz.seconds" (dict "setting" "drain.timeout" "value" $drain.timeout)) }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # Mounted secrets are readable to the group.
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: vault-authz
      image: {{ include "vault-authz.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/vault-authz/config.yaml]
      {{- with .Values.env }}
      env: {{ toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: grpc, containerPort: {{ include "vault-authz.port" (dict "setting" "listen.grpc" "address" .Values.config.listen.grpc) }}, protocol: TCP}
        - {name: probes, containerPort: {{ include "vault-authz.port" (dict "setting" "listen.probes" "address" .Values.config.listen.probes) }}, protocol: TCP}
        {{- if .Values.admin.expose }}
        - {name: admin, containerPort: {{ include "vault-authz.port" (dict "setting" "admin.listen" "address" (dig "admin" "listen" "" .Values.config)) }}, protocol: TCP}
        {{- end }}
      livenessProbe:
        httpGet: {path: /livez, port: probes, scheme: {{ include "vault-authz.scheme" . | upper }}}
        periodSeconds: 10
        timeoutSeconds: 3
      # Ready once every Vault has taken our token, and until the drain.
      readinessProbe:
        httpGet: {path: /readyz, port: probes, scheme: {{ include "vault-authz.scheme" . | upper }}}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      resources: {{ toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/vault-authz, readOnly: true}
        {{- if .Values.kubernetesLogin.enabled }}
        - {name: vault-login, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
        {{- if .Values.certificate.enabled }}
        - {name: certificate, mountPath: {{ .Values.certificate.mountPath }}, readOnly: true}
        {{- end }}
        {{- range $i, $m := .Values.secrets }}
        - {name: secret-{{ $i }}, mountPath: {{ $m.mountPath }}, readOnly: true}
        {{- end }}
        {{- range $i, $m := .Values.configMaps }}
        - {name: config-map-{{ $i }}, mountPath: {{ $m.mountPath }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "vault-authz.name" . }}}
    {{- if .Values.kubernetesLogin.enabled }}
    - name: vault-login
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ .Values.kubernetesLogin.audience }}
              expirationSeconds: {{ int .Values.kubernetesLogin.expirationSeconds }}
    {{- end }}
    {{- if .Values.certificate.enabled }}
    - name: certificate
      secret: {secretName: {{ include "vault-authz.name" . }}-tls, defaultMode: 0440}
    {{- end }}
    {{- range $i, $m := .Values.secrets }}
    - name: secret-{{ $i }}
      secret: {secretName: {{ $m.secretName }}, defaultMode: 0440}
    {{- end }}
    {{- range $i, $m := .Values.configMaps }}
    - name: config-map-{{ $i }}
      configMap: {name: {{ $m.configMapName }}}
    {{- end }}
  {{- if eq .Values.kind "Deployment" }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{ include "vault-authz.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "vault-authz.metadata" -}}
name: {{ include "vault-authz.name" . }}
namespace: {{ .Release.Namespace }}
labels: {{ include "vault-authz.labels" . | nindent 2 }}
{{- end }}
