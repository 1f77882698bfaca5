# The one door: every task has its line here. `make` alone prints them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
export PYTHON
VENV := .venv
PY := $(VENV)/bin/python
BMASE := $(VENV)/bin/bmase
PYTEST := $(PY) -m pytest
# What counts on the time that real programs take has a second try, alone.
TESTS := tests/run.sh
ARGS ?=
# A file stays on one worker, with its servers; the order of files is that of tests/conftest.py.
BY_FILE := --dist loadfile --no-loadscope-reorder
UNIT_JOBS ?= 2
# Integration tests mostly wait for servers of their own.
JOBS ?= 4
# Whole suites wait more than they work; more than two at once and faults are seen late.
E2E_JOBS ?= 2

# Not a part of `make test`, which is to end within half an hour.
LONG := tests/integration/trainer/recipes tests/integration/trainer/lock/test_on_ray.py \
	tests/integration/trainer/reproduce/test_as_a_job.py tests/integration/trainer/reproduce/test_training.py \
	tests/e2e/test_closed_loop.py tests/e2e/test_cluster.py tests/e2e/test_demo_again.py

# Jobs take all there is of two cores: beside them, tests of faults would see these late.
TRAINING := tests/e2e/test_training.py tests/e2e/test_training_faults.py

# What an installation depends on; when one of these changes, the next make installs again (seconds).
INPUTS := pyproject.toml sdk/pyproject.toml constraints.txt infra/setup/venv.sh
LOCAL := $(VENV)/.local
DEV := $(VENV)/.dev
EXAMPLE := $(VENV)/.example
# Programs that only tests, lint and benches need, beside those of the suite.
TEST_PROGRAMS := triton envoy consul nats seaweedfs buf mariadb h2load nginx secantusdb prometheus alertmanager java hdfs

.PHONY: help
help: # Print this list
	@echo "usage: make TASK"
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile

$(LOCAL) $(DEV) $(EXAMPLE): $(VENV)/.%: $(INPUTS)
	@infra/setup/preflight.sh
	@infra/setup/venv.sh $*
	@touch $@

$(VENV)/.runtime: $(DEV) infra/runtime/manifest.toml
	@$(PY) -m infra.runtime ensure $(TEST_PROGRAMS)
	@touch $@

##@ Running

.PHONY: up down status demo
up: $(LOCAL) ## Start the suite (data in .bmase/), from nothing if need be
	@$(BMASE) up $(ARGS)

down: ## Stop the suite; data stay
	@if [ -x $(BMASE) ]; then $(BMASE) down $(ARGS); else echo "nothing is installed, so nothing runs"; fi

status: $(LOCAL) ## Show what runs, where it listens and how it is
	@$(BMASE) status $(ARGS)

demo: $(EXAMPLE) ## Move live traffic by hand, let releases decide, train and explain; DEMO_KEEP=1 leaves it running
	@$(PY) -m examples.digits.demo $(ARGS)

##@ Checking

.PHONY: setup setup-training test test-unit test-integration test-e2e test-long lint fmt bench
setup: $(DEV) $(VENV)/.runtime ## Install everything that a contributor needs

setup-training: $(EXAMPLE) ## Install what the trainer needs, for `bmase up --training`

test: test-unit test-integration test-e2e ## Run all tests, on the real binaries

test-unit: $(DEV) ## Tests without sockets
	@$(PYTEST) -n $(UNIT_JOBS) tests/unit --timeout=60 $(ARGS)

test-integration: $(DEV) $(VENV)/.runtime ## Tests with one real binary each
	@$(TESTS) -n $(JOBS) $(BY_FILE) tests/integration $(LONG:%=--ignore=%) $(ARGS)

test-e2e: $(DEV) $(EXAMPLE) $(VENV)/.runtime ## Tests of the whole suite, with real faults
	@$(TESTS) -n $(E2E_JOBS) $(BY_FILE) tests/e2e $(LONG:%=--ignore=%) $(TRAINING:%=--ignore=%) $(ARGS)
	@$(TESTS) -n $(E2E_JOBS) $(BY_FILE) $(TRAINING) $(ARGS)

test-long: $(DEV) $(EXAMPLE) $(VENV)/.runtime ## What takes minutes each: recipes against plain scripts, a closed loop with no hand on it, a Ray cluster that loses a node, the demo twice
	@$(TESTS) $(LONG) $(ARGS)

bench: $(DEV) $(VENV)/.runtime ## One benchmark: make bench BENCH=gateway|routes|switch|registry|judge|rollback|capture|drift|training|reproduce|import|ensemble|explain
	@test -n "$(BENCH)" || { echo "which one? make bench BENCH=NAME, with NAME one of: $$(cd bench && ls *.py | grep -v _ | sed 's/\.py//' | xargs)"; exit 2; }
	@$(PY) -m bench.$(BENCH) $(ARGS)

lint: $(DEV) ## Style, types, contract, import rules
	@$(PY) -m infra.runtime ensure buf
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy services sdk infra
	$(PY) -m infra.protos check
	$(PY) -m infra.protos lint
	$(PY) -m infra.reference check
	$(PY) -m infra.grafana check
	$(PYTEST) -q tests/unit/test_imports.py

fmt: $(DEV) ## Bring the code into shape
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .

##@ Making

.PHONY: proto docs clean
proto: $(DEV) ## Make the stubs anew from protos/
	$(PY) -m infra.protos generate

docs: $(DEV) ## Make the references of API, errors, recipes and settings, and the dashboards, anew
	$(PY) -m infra.reference generate
	$(PY) -m infra.grafana generate

clean: down ## Stop the suite and remove everything that was made here, its data too (not the per-user cache)
	rm -rf $(VENV) .runtime .bmase .cache build dist bench/results .pytest_cache .mypy_cache .ruff_cache *.egg-info sdk/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
