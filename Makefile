# Versions of the tools that are run, not linked; pinned so that all machines use the same.
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 100000x

.PHONY: all build test race lint fuzz bench pgo compare screenshots

all: build lint test

build: ## build the program, ./kroxy-ev
	go build -o kroxy-ev ./cmd/kroxy-ev

# The program's own tests run many processes with time limits, so they run alone.
PROGRAM = ./cmd/kroxy-ev
OTHERS = $(filter-out %/cmd/kroxy-ev,$(shell go list ./...))

test: ## go test ./... in two parts; needs only Go, as the README promises
	go test -timeout 20m $(OTHERS)
	go test -timeout 20m $(PROGRAM)

race: ## the tests with the race detector, in random order
	go test -race -shuffle=on -timeout 20m $(OTHERS)
	go test -race -shuffle=on -timeout 20m $(PROGRAM)

lint: ## check formatting, vet, staticcheck, import rules
	go run $(GOLANGCI) run

# Runs each fuzz target for FUZZTIME, given in executions: a run limited by time may fail with "context deadline exceeded".
# A target is "package:target".
FUZZ = $(shell grep -rho --include='*_test.go' -H 'func Fuzz[A-Za-z0-9]*' . | sed 's,/[^/]*:func ,:,')

fuzz:
	@set -e; for t in $(FUZZ); do \
		echo "== $$t"; go test -run '^$$' -fuzz "^$${t#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $${t%%:*}; \
	done

bench: ## benchmarks against nginx and HAProxy, which bench/setup.sh installs
	go test -run '^$$' -bench . -timeout 1h ./bench

compare: ## the benchmarks with more rounds, and a report: bench/results/DATE.md and its plots
	go test -run '^$$' -bench . -timeout 2h ./bench -rounds 5 -report results

# Makes the compiler's profile from the CPU profiles of these rows. Needs a quiet machine, as make bench does.
PROFILED = ^Benchmark((Stream|HTTP|TLS)(Small|Small1|Connect|Download|Headers|Post|Chunked|Resumed))$$

pgo: ## regenerate cmd/kroxy-ev/default.pgo
	dir=$$(mktemp -d) && trap 'rm -r '$$dir EXIT && \
	KROXY_EV_PROFILES=$$dir go test -run '^$$' -bench '$(PROFILED)' -timeout 1h ./bench -rounds 2 -seconds 3 -only kroxy-ev -build '-tags profile' && \
	go tool pprof -proto $$(find $$dir -name '*.pprof' -size +1k) > cmd/kroxy-ev/default.pgo

screenshots: build ## regenerate docs/img: the dashboard (with Chromium) and kroxy-ev top, of a proxy with traffic
	mkdir -p docs/img
	go test ./cmd/kroxy-ev/internal/screenshots -run TestScreenshots -count=1 -args -program $(CURDIR)/kroxy-ev -to $(CURDIR)/docs/img
