# What is made from deploy/. Included by the Makefile at the root.

VERSION ?= 0.0.0
ARCH    ?= $(shell go env GOARCH)
CHART   := deploy/chart/vault-authz

.PHONY: deploy-tools
deploy-tools: ## build what packs and checks deploy/ into .tools
	@$(FETCH) nfpm kubeconform helm helm-docs

.PHONY: packages
packages: ## deb and rpm into dist/ (VERSION=1.2.3 ARCH=amd64)
	@$(FETCH) nfpm
	@CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -tags grpcnotrace -ldflags='-s -w' -o dist/$(ARCH)/vault-authz ./cmd/vault-authz
	@NFPM='$(TOOLS)/bin/nfpm' OS=linux ARCH=$(ARCH) VERSION=$(VERSION) BINARY=dist/$(ARCH)/vault-authz deploy/package/pack.sh dist/

.PHONY: manifests
manifests: ## write the generated files of the chart, and deploy/kubernetes from the chart
	@$(FETCH) helm helm-docs
	@HELM_DOCS_BIN='$(TOOLS)/bin/helm-docs' go test -count=1 -run 'SchemaOfTheValues|ReadmeOfTheChart' ./test/deploy/ -update
	@'$(TOOLS)/bin/helm' template vault-authz $(CHART) --namespace vault-authz --kube-version 1.37.2 --values $(CHART)/ci/minimal-values.yaml > deploy/kubernetes/vault-authz.yaml

# The API server of Kubernetes, with what the tests use it with.
API_SERVER = HELM_BIN='$(TOOLS)/bin/helm4' KUBE_APISERVER_BIN='$(TOOLS)/bin/kube-apiserver' ETCD_BIN='$(TOOLS)/bin/etcd' KUBECTL_BIN='$(TOOLS)/bin/kubectl'

.PHONY: kubernetes
kubernetes: tools ## deploy/ on a real API server of Kubernetes: chart, Pod Security, logins to Vault (its first build takes about 7 minutes)
	@$(FETCH) helm4 etcd kube-apiserver kubectl
	$(REAL_PARTS) $(API_SERVER) go test -race -count=1 -timeout 20m ./test/kubernetes/

.PHONY: gateways
gateways: tools ## the files for Istio and Envoy Gateway, each control plane with a real Envoy (its first builds take about 17 minutes)
	@$(FETCH) istiod envoy-gateway helm4 etcd kube-apiserver kubectl
	$(REAL_PARTS) $(API_SERVER) ISTIOD_BIN='$(TOOLS)/bin/istiod' ENVOY_GATEWAY_BIN='$(TOOLS)/bin/envoy-gateway' go test -race -count=1 -timeout 20m ./test/gateways/ ./test/parts/partstest/

.PHONY: ratelimit
ratelimit: tools ## two Envoys that share limits through Envoy's rate limit service (its first build takes about 2 minutes)
	@$(FETCH) ratelimit
	$(REAL_PARTS) RATELIMIT_BIN='$(TOOLS)/bin/ratelimit' go test -race -count=1 -run AllEnvoys ./test/deploy/

.PHONY: mesh
mesh: tools deploy-tools kubernetes gateways ratelimit ## what of deploy/ takes minutes to build: the API server, Istio, Envoy Gateway, the rate limit service, the chart with Helm 4, the rules with promtool
	@$(FETCH) helm4 promtool
	$(REAL_PARTS) PROMTOOL_BIN='$(TOOLS)/bin/promtool' go test -count=1 -run 'Promtool|Fire' ./test/deploy/
	$(REAL_PARTS) HELM_BIN='$(TOOLS)/bin/helm4' go test -count=1 -run 'Chart|Manifests|NetworkPolicy|Service|ConfigMap|Configuration' ./test/deploy/
	@echo 'skipped: pods that run: see deploy/README.md'

# It finds nfpm, Helm and cyclonedx-gomod on PATH.
GORELEASER = PATH='$(TOOLS)/bin':"$$PATH" goreleaser

.PHONY: release-snapshot
release-snapshot: ## the files of a release, unpublished, into dist/; twice, and compared
	@$(FETCH) nfpm helm cyclonedx-gomod goreleaser cosign
	@$(GORELEASER) check
	@$(GORELEASER) release --snapshot --clean --skip=publish
	@cp dist/checksums.txt '$(TOOLS)/checksums.txt'
	@$(GORELEASER) release --snapshot --clean --skip=publish
	@'$(TOOLS)/bin/helm' template va dist/packages/vault-authz-*.tgz --kube-version 1.37.2 --values $(CHART)/ci/minimal-values.yaml >/dev/null
	@diff '$(TOOLS)/checksums.txt' dist/checksums.txt && echo 'two builds, the same bytes'
	@test/sign.sh '$(TOOLS)/bin/cosign' dist/checksums.txt

SIGNED ?= dist/checksums.txt

.PHONY: sign
sign: ## sign the checksums of a release (COSIGN_KEY=cosign.key, from cosign generate-key-pair)
	@[ -n '$(COSIGN_KEY)' ] || { echo 'sign: give the private key: make sign COSIGN_KEY=cosign.key' >&2; exit 1; }
	@$(FETCH) cosign
	@'$(TOOLS)/bin/cosign' sign-blob --yes --key '$(COSIGN_KEY)' --signing-config <('$(TOOLS)/bin/cosign' signing-config create) --bundle '$(SIGNED).sigstore.json' '$(SIGNED)'

.PHONY: image-test
image-test: ## build the image with buildah and run it read-only as its own user (needs root, buildah and runc)
	@test/image.sh
