# `make` alone explains itself. Everything a target needs is set up by scripts/setup first, which is done at once when it is there.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PATH := $(CURDIR)/.venv/bin:$(PATH)
# What our tools would keep in the home stays in the checkout.
export PATH
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export XDG_CACHE_HOME := $(CURDIR)/.cache
export PYTHON

LAYERS := unit integration system e2e simulation
# Layers without testnets: two files at once. Whole clusters under load have the machine to themselves.
QUIET := unit integration
# pytest's exit code when nothing was selected: what ARGS selects may lie in one half alone.
NOTHING := 5
SPREAD := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
existing = $(wildcard $(addprefix tests/,$(1)))

.PHONY: help demo test lint bench setup setup-demo setup-test setup-lint clean $(LAYERS:%=test-%) test-benchmark test-molecule

help: ## what there is to make (this)
	@echo 'Nodewise rolls upgrades through clusters, one node at a time, behind gates.'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-17s %s\n", $$1, $$2}'
	@echo
	@echo '  make demo KEEP=1        leaves the cluster up and says how to look at it and remove it'
	@echo '  make test-unit ARGS="-k plan -x"   hands words on to pytest'
	@echo '  make setup PYTHON=/usr/bin/python3.13   makes .venv with that Python (3.11 or newer)'

demo: setup-demo ## a cluster on a testnet, upgraded under load, judged
	@testnet run rolling-upgrade $(if $(KEEP),--keep)

test: setup-test ## all tests that a change has to pass, the bad days that matter most among them
	@pytest $(SPREAD) -m 'not slow' $(call existing,$(QUIET)) $(ARGS); quiet=$$?; \
	[ $$quiet = 0 ] $(if $(ARGS),|| [ $$quiet = $(NOTHING) ]) || exit $$quiet; \
	pytest -m 'not slow' $(call existing,$(filter-out $(QUIET),$(LAYERS))) $(ARGS); rest=$$?; \
	[ $$rest = $(NOTHING) ] && exit $$quiet; exit $$rest

test-unit: setup-lint ## no node, no network: seconds
	@pytest tests/unit $(ARGS)

test-integration: setup-test ## one real service on this machine
	@pytest tests/integration $(ARGS)

test-system: setup-test ## testnets, provisioned, upgraded, and every bad day that is promised to end well
	@pytest tests/system $(ARGS)

test-e2e: setup-test ## the commands as a user types them
	@pytest tests/e2e $(ARGS)

test-simulation: setup-test ## whole runs against simulated clusters
	@pytest tests/simulation $(ARGS)

test-benchmark: setup-test ## the benchmarks' own tests
	@pytest tests/benchmark $(ARGS)

# Without a scenario in ARGS all of them.
test-molecule: setup-test ## each role on nodes of its own; ARGS="-s node" for one
	@molecule test $(if $(filter -s% --scenario-name%,$(ARGS)),,--all) $(ARGS)

bench: setup-test ## Nodewise beside a shell loop and a usual playbook, as ratios
	@testnet bench $(ARGS)

lint: setup-lint ## every linter, one line each
	@python scripts/lint.py $(ARGS)

setup: setup-test ## what all the others need, and nothing more
	@echo 'All is set up.'

setup-demo:
	@scripts/setup run nodes

setup-test:
	@scripts/setup dev nodes

setup-lint:
	@scripts/setup dev

clean: ## removes testnets, node image, .venv and caches; keeps runs/
	@scripts/clean
