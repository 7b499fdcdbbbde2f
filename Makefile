# Everything that people need is one of these targets; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

$(VENV)/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Rollcall needs Python 3.11 or later with venv; none was found" >&2; exit 1; }
	@echo "Python packages into $(VENV) ($(PYTHON))"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { command -v apt-get >/dev/null && apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install -q --upgrade pip
	@$(BIN)/python -m pip install -q -e '.[operator,cli,dev]'
	@touch $@

# The probe's native part, built for this machine where that is missing or older than its source.
.PHONY: native
native: $(VENV)/ready
	@$(BIN)/python -m tests.harness.native

.PHONY: demo demo-down
demo: native ## A local cluster with Rollcall, sample services and load: the live picture while it scales
	@$(BIN)/python -m tests.harness.demo up
demo-down: $(VENV)/ready ## Remove everything that demo made
	@$(BIN)/python -m tests.harness.demo down

# Two files of tests beside each other; but those that measure how soon things are seen have the machine for themselves.
BESIDE = --numprocesses=2 --dist=loadfile
CLUSTER = $(BIN)/python -m pytest -q --durations=15 tests/cluster -m patient $(BESIDE); patient=$$?; \
	$(BIN)/python -m pytest -q --durations=15 tests/cluster -m "not patient" && test $$patient = 0
.PHONY: test test-unit test-cluster
test: native ## All tests, unit to cluster; installs and builds what is missing
	@$(BIN)/python -m tests.harness.packages
	@found=$$($(BIN)/python -m pytest --collect-only -q tests) || { tail -30 <<<"$$found"; exit 1; }  # in seconds, not after an hour
	@$(CLUSTER); cluster=$$?; $(BIN)/python -m pytest -q --durations=15 $(BESIDE) tests/unit tests/web && exit $$cluster
test-unit: native ## The tests that need no cluster, in a minute
	@$(BIN)/python -m tests.harness.packages
	@$(BIN)/python -m pytest -q $(BESIDE) tests/unit tests/web
test-cluster: native ## The tests against a real cluster
	@$(CLUSTER)

.PHONY: fuzz
fuzz: native ## Property tests with new examples, many of them; then fuzzing led by what runs (atheris), a minute a target
	@ROLLCALL_FUZZ=1 $(BIN)/python -m pytest -q $(BESIDE) tests/unit/wire tests/unit/model tests/unit/agent tests/unit/ingest
	@$(BIN)/python -m pip install -q -e '.[fuzz]'
	@$(BIN)/python -m tests.fuzz

# The page's bundle is committed, so that only who changes web/ needs node; a test compares it with its sources.
.PHONY: web web-images terminal-images
web: ## Build the web page from web/ into the operator's package (needs node 18 or later)
	@command -v npm >/dev/null || { echo "the web page is built by node 18 or later with npm, which is not here; what is committed works without" >&2; exit 1; }
	@cd web && npm ci --silent --no-audit --no-fund && npm run --silent check && npm run --silent build
terminal-images: $(VENV)/ready ## Write the pictures of the terminal into docs/images, and the screens that its tests compare with
	@$(BIN)/python -m pytest -q tests/unit/cli/top/test_golden.py --images
web-images: $(VENV)/ready ## Write the pictures of the web page into docs/images
	@$(BIN)/python -m pytest -q tests/web -k pictures --images

.PHONY: accuracy
accuracy: native ## Each signal against an independent truth, on the cluster; writes the table of docs/accuracy.md
	@$(BIN)/python -m pytest -q tests/cluster/test_accuracy.py tests/cluster/test_accuracy_causes.py
	@$(BIN)/python -m tests.harness.accuracy

.PHONY: lint format generate
lint: $(VENV)/ready ## Style, types, layers, chart
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
format: $(VENV)/ready ## Format the code
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .
generate: $(VENV)/ready ## Write the CRD from its types
	@$(BIN)/python -m rollcall.api.generate

.PHONY: bench
bench: native ## All benchmarks, each a table: a quarter of an hour, best on a machine with nothing else to do
	@failed=0; for b in ingest.py fold.py metrics_page.py store.py terminal.py probe_overhead.py dependency_calls.py php_probe.py agent_cost.py otlp.py "recycling.py --seconds 60"; do \
		echo; echo "== $$b"; $(BIN)/python benchmarks/$$b || failed=1; done; exit $$failed

.PHONY: latency
latency: native ## From the end of a request to the pixel, the cell, the status and the metric; writes the table of docs/latency.md
	@$(BIN)/python -m tests.harness.packages
	@$(BIN)/python benchmarks/latency.py --write

.PHONY: departures
departures: $(VENV)/ready ## Over 500 pods leave for all causes on a real API server: how many are told right
	@$(BIN)/python -m benchmarks.departures

.PHONY: bench-scale
bench-scale: native ## 5,000 pods with agents, one operator, a real API server: a quarter of an hour, best on a machine with nothing else to do
	@$(BIN)/python -m benchmarks.scale

include tests/harness/cluster.mk
