# What can be done here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TESTS ?= tests

.DEFAULT_GOAL := help
SEED ?= 1
SUITE ?= all
ROWS ?= 2000000
SIZE ?= 5GB

.PHONY: help demo up down dev test test-long chaos bench lint format lock licences clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## install, start the stack, run a cron job and Kafka events through it
	$(BIN)/python -m jobu_admin.demo

up: $(STAMP) ## start the stack in the background
	$(BIN)/jobu up

down: $(STAMP) ## end the stack and every process of it
	$(BIN)/jobu down

dev: $(STAMP) ## Dagster in the foreground, with reload, on services in the background
	$(BIN)/jobu dev

test: $(STAMP) ## all tests but the long ones; needs nothing running, leaves nothing
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not long" $(TESTS)

test-long: $(STAMP) ## every test, the long ones included
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

chaos: $(STAMP) ## five minutes of kill -9 at random, then the ledger audited; SEED=n
	$(BIN)/python -m tests.chaos --seed $(SEED)

bench: $(STAMP) ## measure the data path against its peers; SUITE=load, ROWS=n, SIZE=1GB
	$(BIN)/jobu bench $(SUITE) --rows $(ROWS) --size $(SIZE) $(if $(JSON),--json $(JSON))

lint: $(STAMP) ## every gate: style, types, layers, dependencies, files, lock, licences
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/python -m scripts.check_files
	$(BIN)/python -m scripts.check_boundaries
	$(BIN)/python -m scripts.check_lock
	$(BIN)/python -m scripts.check_licences

format: $(STAMP) ## let ruff repair and format what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A folder of wheels in pip's settings would add hashes that the index does not have.
lock: $(STAMP) ## write requirements.lock anew from pyproject.toml; UPGRADE=--upgrade for newest
	env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --extra dev --extra bench --generate-hashes --allow-unsafe \
	  --no-strip-extras --no-header --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-emit-options $(UPGRADE) -o requirements.lock pyproject.toml
	sed -i '/considered to be unsafe/d' requirements.lock
	$(BIN)/python -m scripts.check_lock

licences: $(STAMP) ## write docs/licences.md from the installed packages
	$(BIN)/python -m scripts.check_licences --write

clean: ## remove the environment and what tools cached; data in .jobu/ stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	  .hypothesis .coverage
	find . -name __pycache__ -not -path './.jobu/*' -prune -exec rm -rf {} +

# Everything comes from the lock, hashes checked; setuptools, which builds jobu, too.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	touch $@
