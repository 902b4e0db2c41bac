# Targets explain themselves: make help.

.DEFAULT_GOAL := help
SHELL := /bin/bash

GO      ?= go
BIN     := bin/anteroom
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Pinned tools, run from the module cache; nothing is installed into the system.
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Every package is built once: the profile of the binary would make a second build of
# all that it imports. The race detector watches everything but the inner loops of
# argon2, a pure function whose memory it would go through word by word.
BUILDS := -pgo=off
RACE   := -race $(BUILDS) -gcflags=golang.org/x/crypto/argon2=-race=false
TESTS  := ANTEROOM_E2E=require ANTEROOM_POSTGRES=require $(GO) test $(RACE) -parallel 3 -timeout 30m

FUZZTIME  ?= 20s
BENCHTIME ?= 1s
SHOTS     ?= shots

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and start the demo: issuer on :8080, portals on :8081 and :8082, state in ./data
	@exec $(BIN) demo

.PHONY: build
build: ## build bin/anteroom, one static stripped binary
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/anteroom

.PHONY: deps
deps: # what the tests need: installed on Debian and Ubuntu as root, else named
	@.ci/deps

# Libraries of others, as their locks name them; their set-up scripts do not run.
NODE_LOCK   := e2e/interop/node/package-lock.json
PYTHON_LOCK := e2e/interop/python/requirements.txt
NODE_DONE   := e2e/interop/node/node_modules/.installed
PYTHON_DONE := e2e/interop/python/.venv/.installed

.PHONY: interop
interop: deps $(NODE_DONE) $(PYTHON_DONE) ## the libraries that sign in at us in the tests: installed again when a lock changed

$(NODE_DONE): $(NODE_LOCK) e2e/interop/node/package.json
	cd $(<D) && npm ci --ignore-scripts
	touch $@

$(PYTHON_DONE): $(PYTHON_LOCK)
	rm -rf $(@D) && python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@

.PHONY: check
check: ## gofmt and go vet, nothing to install
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi
	CGO_ENABLED=0 $(GO) vet $(BUILDS) ./...

.PHONY: test
test: deps check interop ## everything: checks, then all tests with the race detector, a real browser and other people's libraries
	$(GO) test $(RACE) -c -o /dev/null ./e2e
	@$(MAKE) --no-print-directory -j2 test-postgres test-rest

# Both at once: a journey waits more than it computes.
.PHONY: test-postgres test-rest
test-postgres: # the journeys on two nodes over PostgreSQL
	ANTEROOM_E2E_STORE=postgres $(TESTS) -run 'Journey|One' -skip Nth ./e2e
test-rest: # everything else
	$(TESTS) -p 2 ./...

.PHONY: test-stores
test-stores: deps ## the stores alone: the contract and the faults on both, kills and failovers under load, the journeys on two nodes over PostgreSQL
	$(TESTS) -p 2 ./store/...
	$(TESTS) -run 'Nth|Killed|Database|Standby|History|MasterKey|ANodeThatGoes' ./e2e
	@$(MAKE) --no-print-directory test-postgres

.PHONY: shots
shots: deps ## screenshots of every page, light, dark and phone width, into ./shots
	ANTEROOM_E2E=require ANTEROOM_SHOTS=$(abspath $(SHOTS)) $(GO) test -count=1 -timeout 30m -run 'Journey|Gallery' ./e2e
	@echo "see $(SHOTS)/"

.PHONY: pictures
pictures: deps ## the pictures of the README, taken during an activation, into docs/images
	ANTEROOM_E2E=require ANTEROOM_PICTURES=$(abspath docs/images) $(GO) test -count=1 -timeout 5m -run ReadmePictures ./e2e

.PHONY: bench
bench: build ## the figures: memory, start, size, commits and CPU of a sign-in, requests per second
	@command -v strace >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get install -y -q --no-install-recommends strace >&2; } || true # without it, commits are not counted, and the bench says so
	$(GO) run ./internal/bench -bin $(BIN) -time $(BENCHTIME)

.PHONY: profile
profile: ## record anew what the compiler optimises for (cmd/anteroom/default.pgo), with PostgreSQL on this machine
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	CGO_ENABLED=0 $(GO) build -trimpath -tags profile -o "$$dir/anteroom" ./cmd/anteroom; \
	$(GO) run ./internal/bench -bin "$$dir/anteroom" -profile cmd/anteroom/default.pgo -out "" -time 2s >/dev/null

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s) each
	@set -e; for dir in $$($(GO) list -f '{{.Dir}}' ./...); do \
		for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go 2>/dev/null | awk '{ print $$2 }'); do \
			echo "== $$name in $${dir#$(CURDIR)/}"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir"; \
		done; \
	done

.PHONY: lint
lint: check ## golangci-lint, pinned, run from the module cache
	$(GO) run $(GOLANGCI) run ./...

.PHONY: audit
audit: ## govulncheck, pinned: known holes in what we import (asks the Go vulnerability database)
	$(GO) run $(GOVULNCHECK) ./...

.PHONY: clean
clean: ## remove what was built, and screenshots; ./data stays
	rm -rf bin $(SHOTS) *.test *.out
