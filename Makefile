# Needs Python 3.11 or newer and make; `make test` also uses npm and, as root on Debian, apt-get where they exist.
# Everything is put under .venv/ and .tools/; a second run installs nothing.

PYTHON ?= python3
ARGS ?=
S3TESTS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
COMPOSE := docker compose --project-directory compose --file compose/docker-compose.yml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: serve
serve: $(RUNTIME) ## Serve S3 from this machine; flags through ARGS="--port 9001 --data DIR".
	@exec $(BIN)/cairn serve $(ARGS)

.PHONY: test
test: $(DEVELOPMENT) tools ## Run every check: format, lint, types, tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 -m "not large" $(PYTEST_ARGS)

.PHONY: test-large
test-large: $(DEVELOPMENT) tools ## Run the tests that move gigabytes.
	$(BIN)/pytest -m large $(PYTEST_ARGS)

.PHONY: storm
storm: $(DEVELOPMENT) ## Attack a cluster for a quarter of an hour: 500 kills; flags through ARGS="--seed 7 --wipes 5".
	$(BIN)/python -m tests.storm $(ARGS)

.PHONY: format
format: $(DEVELOPMENT) ## Rewrite the sources in the project's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(DEVELOPMENT) ## Generate docs/operations.md.
	$(BIN)/python -m gateway.operation_table > docs/operations.md

.PHONY: bench
bench: $(DEVELOPMENT) ## Measure throughput against yardsticks of this machine.
	$(BIN)/python -m bench $(ARGS)

.PHONY: conformance
conformance: $(DEVELOPMENT) ## Run ceph/s3-tests from a checkout: S3TESTS=path.
	@test -n "$(S3TESTS)" || { echo "make conformance S3TESTS=path of a checkout of ceph/s3-tests" >&2; exit 2; }
	$(BIN)/python -m tests.conformance $(ARGS) "$(S3TESTS)"

.PHONY: build
build: ## Build the container image.
	docker build --tag cairn .

.PHONY: up
up: compose/.env ## Start the containers; the first time makes compose/.env with new secrets.
	$(COMPOSE) up --detach --build --wait

.PHONY: down
down: ## Stop the containers; volumes stay.
	$(COMPOSE) down

.PHONY: clean
clean: ## Remove what make has made, but no data.
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

compose/.env: | compose/.env.example
	$(PYTHON) compose/make_env.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(DEVELOPMENT): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(RUNTIME) $@

# No stamp: what is there is left alone, and what could not be had last time is tried again.
.PHONY: tools
tools:
	@$(PYTHON) tests/harness/install_tools.py
