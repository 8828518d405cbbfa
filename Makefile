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
export CORE
# Compiled modules are kept: without them each start of ansible-playbook compiles all of ours anew.
unexport PYTHONDONTWRITEBYTECODE

# What may be said to all targets of tests: SKIP_SLOW=1 WORKERS=N SEED=N|random COVERAGE=1 RESULTS=1 ARGS="words for pytest"
tests = python scripts/test.py $(1) $(if $(filter-out 0,$(SKIP_SLOW)),--skip-slow) $(if $(WORKERS),--workers $(WORKERS)) \
  $(if $(SEED),--seed $(SEED)) $(if $(COVERAGE),--coverage $(COVERAGE)) $(if $(RESULTS),--results) \
  -- $(ARGS)

.PHONY: help demo test test-all test-unit test-integration test-system test-simulation test-e2e test-benchmark test-molecule
.PHONY: coverage lint bench setup setup-demo setup-test setup-lint clean

help: ## what there is to make (this)
	@echo 'Nodewise rolls upgrades through clusters, one node at a time, behind gates.'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-17s %s\n", $$1, $$2}'
	@echo
	@echo '  make demo KEEP=1        leaves the cluster up and says how to look at it and remove it'
	@echo '  make test-unit ARGS="-k plan -x"   hands words on to pytest; SKIP_SLOW=1, WORKERS=4, SEED=random: tests/README.md'
	@echo '  make setup PYTHON=/usr/bin/python3.13   makes .venv with that Python (3.11 or newer)'
	@echo '  make setup CORE=2.20    puts that minor of ansible-core into .venv (2.20 and 2.21 need Python 3.12)'

demo: setup-demo ## a cluster on a testnet, upgraded under load, judged
	@testnet run rolling-upgrade $(if $(KEEP),--keep)

test: setup-test ## all tests that a change has to pass, the bad days that matter most among them
	@$(call tests,--skip-slow)

test-all: setup-test ## every layer whole, with what takes long; writes docs/test-results.md
	@$(call tests,--all)

test-unit: setup-lint ## no node, no network: seconds
	@$(call tests,unit)

test-integration: setup-test ## one real service on this machine
	@$(call tests,integration)

test-system: setup-test ## testnets, and clusters on them: provisioned, upgraded, restored, removed
	@$(call tests,system)

test-simulation: setup-test ## bad days: faults while a cluster under load is upgraded
	@$(call tests,simulation)

test-e2e: setup-test ## the commands as a user types them
	@$(call tests,e2e)

test-benchmark: setup-test ## quick benchmarks beside their limits; a missed one is shown, never red
	@$(call tests,benchmark)

# Without a scenario in ARGS all of them.
test-molecule: setup-test ## each role on nodes of its own; ARGS="-s node" for one
	@molecule test $(if $(filter -s% --scenario-name%,$(ARGS)),,--all) $(ARGS)

coverage: setup-lint ## what the tests ran that were run with COVERAGE=1, and what not
	@python scripts/covering.py

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
