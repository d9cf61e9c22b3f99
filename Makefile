# The words of make. `make test` is what a change has to pass; `.ci/run` calls
# it. Large numbers are soak sizes: SCALE multiplies them (make soak sets it).

GO       ?= go
CACHE    := $(CURDIR)/.cache
SCALE    ?= 1
FUZZTIME ?= 20s
MUTANTS  ?= 250
TIMEOUT  ?= 26m
PKGS     := ./...
RACED    := $(PKGS)
# Rooms of pure functions: at full size the race detector, which finds nothing
# there, would make hours of their millions of generated messages.
PURE     := ./message ./policy/... ./internal/lintsound
# Tests that measure times: at full size without the race detector.
TIMED    := TestEachPageOfManyRows|TestMailWaitsNoLonger
# Tests of how long good mail waits under attack: at full size beside no other test.
ATTACKS  := TestDNSAttack
SKIP     :=

export DMARCGATE_SCALE := $(SCALE)

.PHONY: help build package demo test soak bench microbench fuzz mutate conformance tools check clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

build: ## one static binary, ./dmarcgate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o dmarcgate ./cmd/dmarcgate

package: ## the Debian package of this commit, in dist/
	@./deploy/debian/package.sh dist

demo: ## messages through the milter socket, and what becomes of them
	@echo "Compiling dmarcgate: a minute or two the first time, a second afterwards. Then the daemon runs on sockets of its own below /tmp." >&2
	@CGO_ENABLED=0 $(GO) run ./cmd/dmarcgate demo $(ARGS)

test: tools check ## everything a change needs; as root on Debian 12 it installs what it must
	@$(GO) run ./internal/conformance -check
	@./internal/mtatest/leftovers.sh before "$(CACHE)"
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout $(TIMEOUT) -tags mta $(if $(SKIP),-skip '$(SKIP)') $(RACED)
	@./internal/mtatest/leftovers.sh after "$(CACHE)"

check: ## formatting, vet, staticcheck, module files
	@unformatted=$$(gofmt -l .); \
	  [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet -tags mta $(PKGS)
	$(GO) vet -tags fault ./cmd/... ./daemon/...
	$(GO) tool staticcheck -tags mta $(PKGS)
	$(GO) tool staticcheck -tags mta,fault ./cmd/... ./daemon/...
	$(GO) mod verify

tools: ## install the servers and the compiler that the tests need
	@./internal/mtatest/install.sh

soak: ## the same tests at full size; those of pure functions without the race detector
	$(MAKE) test SCALE=50 TIMEOUT=3h SKIP='$(ATTACKS)' RACED="$$($(GO) list $(PKGS) | grep -vxF "$$($(GO) list $(PURE))" | xargs)"
	CGO_ENABLED=1 DMARCGATE_SCALE=50 $(GO) test -race -count=1 -timeout 2h -tags mta -run '$(ATTACKS)' ./cmd/dmarcgate
	CGO_ENABLED=0 DMARCGATE_SCALE=50 $(GO) test -count=1 -timeout 3h $(PURE)
	CGO_ENABLED=0 DMARCGATE_SCALE=50 $(GO) test -count=1 -timeout 1h -p 1 -run '$(TIMED)' ./pages ./internal/bench

bench: ## what a message costs, beside its floors; RECORD=1 keeps the figures
	@mkdir -p "$(CACHE)/bench"
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o "$(CACHE)/bench/dmarcgate" ./cmd/dmarcgate
	@CGO_ENABLED=0 $(GO) build -o "$(CACHE)/bench/bench" ./internal/bench
	@sh ./internal/bench/chain.sh "$(CACHE)/chain" || true
	@"$(CACHE)/bench/bench" -daemon "$(CACHE)/bench/dmarcgate" $(if $(RECORD),-record) $(ARGS)

microbench: ## the benchmarks of single functions, with allocations
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench . -benchmem $(PKGS)

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list $(PKGS)); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; \
	    CGO_ENABLED=0 $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzzminimizetime 10x -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

mutate: ## small changes of the code that tests must notice: MUTANTS of each package, 0 for all
	@CGO_ENABLED=0 $(GO) run ./internal/mutate -sample $(MUTANTS) auth/dmarc auth/taglist policy policy/index policy/ruletest

conformance: ## the suites of others, and docs/conformance.md from them
	@$(GO) run ./internal/conformance

clean: ## remove what was built
	rm -rf dmarcgate dist .cache
