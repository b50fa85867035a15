# Everything is run from here; `make help` lists it. What a target needs beyond
# Go, git, make, curl and Python 3 it fetches from package registries, pinned.

.DEFAULT_GOAL := help
SHELL := /bin/bash

GOLANGCI   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT    := mvdan.cc/gofumpt@v0.12.0
VULNCHECK  := golang.org/x/vuln/cmd/govulncheck@v1.9.0
BENCHSTAT  := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# How long each fuzz target runs, and how much longer the one that decides what a
# request says: its reader is our own, and is held to the generated types. In 10s or
# less Go does not notice an input that never ends.
FUZZTIME ?= 15s
FUZZTIME_READ ?= 45s

# What make mutate works on: the decision, the door to Envoy, the cache and the state.
MUTATE ?= $(wildcard authz envoy cache internal/state)

# The packages whose tests need no real parts that Go cannot see.
PACKAGES = $(shell go list ./... | grep -v '/test/')

include test/parts.mk
include deploy/deploy.mk

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

.PHONY: build
build: ## build bin/vault-authz
	@go build -trimpath -tags grpcnotrace -o bin/ ./cmd/vault-authz

.PHONY: dev
dev: build ## run the product in memory, with commands to paste
	@exec bin/vault-authz dev

.PHONY: test
test: tools deploy-tools ## all tests, with the race detector and the real Envoy, Vault, OpenBao and Chromium
	$(REAL_PARTS) go test -race -shuffle=on -timeout 20m $(PACKAGES)
	$(REAL_PARTS) go test -race -count=1 -timeout 25m $$(go list ./test/... | grep -vE '/test/(kubernetes|gateways|browser|parts/partstest)$$')
	@echo 'skipped: the tests on a real API server of Kubernetes (make kubernetes), those of Istio and Envoy Gateway (make gateways), the limit over all Envoys (make ratelimit)'
	$(REAL_PARTS) go test -count=1 ./test/browser/
	cd test/openapi && go test -count=1 ./...

.PHONY: race-rounds
race-rounds: tools ## two replicas race for each kind of name 500 times (RACE_ROUNDS=n)
	RACE_ROUNDS=$${RACE_ROUNDS:-500} $(REAL_PARTS) go test -race -count=1 -v -timeout 60m -run TestTwoReplicasNeverCreateTheSameNameTwice ./test/e2e/

.PHONY: unit
unit: ## the tests that need no real parts; what is skipped says so with -v
	go test -race -shuffle=on $(PACKAGES)

.PHONY: bench
bench: tools ## what a check costs, beside a stub in the same run (12 minutes; BENCH="-only open -rates 1500")
	@$(REAL_PARTS) go run ./test/bench $(BENCH) >bench.txt
	@go run $(BENCHSTAT) -col /server bench.txt

.PHONY: bench-state
bench-state: tools ## 100 000 consumers on a real Vault and OpenBao, with two replicas (5 minutes)
	@$(REAL_PARTS) go run ./test/bench -only state >bench-state.txt
	@go run $(BENCHSTAT) -col /server bench-state.txt

.PHONY: bench-own
bench-own: ## what our own part of a check costs, without grpc-go (2 minutes)
	@go test -run '^$$' -bench . -count 6 ./authz ./envoy >bench-own.txt
	@go test -run '^$$' -bench '^Benchmark(Hit|ParallelHit|AbsentHit|Miss)$$' -count 6 ./cache >>bench-own.txt
	@go run $(BENCHSTAT) bench-own.txt

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME, and the reader of requests for FUZZTIME_READ more
	@test/fuzz.sh $(FUZZTIME)
	@test/fuzz.sh $(FUZZTIME_READ) FuzzRead

.PHONY: mutate
mutate: ## make the code wrong in one place at a time and see whether a test fails (MUTATE="authz envoy/denialbody.go")
	@go run ./test/mutate $(MUTATE)

.PHONY: fmt
fmt: ## format the code
	go run $(GOFUMPT) -w .

.PHONY: lint
lint: ## format and lint check
	@unformatted=$$(go run $(GOFUMPT) -l .) && { [ -z "$$unformatted" ] || { echo "not formatted, run make fmt:" $$unformatted; exit 1; }; }
	go vet ./...
	go run $(GOLANGCI) run ./...

.PHONY: tidy
tidy: ## check that go.mod and go.sum are what the code needs
	go mod tidy -diff
	cd test/vaultserver && go mod tidy -diff
	cd test/openapi && go mod tidy -diff
	cd test/tools/kubernetes && go mod tidy -diff
	cd test/tools/istio && go mod tidy -diff
	cd test/ratelimitserver && go mod tidy -diff

.PHONY: vuln
vuln: ## known vulnerabilities in what is linked (needs the vulnerability database)
	go run $(VULNCHECK) ./...

.PHONY: cover
cover: ## coverage of the unit tests
	go test -coverprofile=cover.out $(PACKAGES)
	go tool cover -func=cover.out | tail -1

.PHONY: ci
ci: lint build tidy test fuzz bench-smoke ## what CI runs

.PHONY: bench-smoke
bench-smoke: ## what must not allocate does not
	go test -run Alloc ./authz ./cache ./envoy
	go test -run '^$$' -bench . -benchtime 100x ./authz ./envoy
