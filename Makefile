# The only preconditions are make and Python 3.11 or newer; everything else is brought by what stands below.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup up down api test check bench soak fmt lock

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Containers often forbid bytecode; then each process compiles the SDKs again, for 12 s. It lands in what git ignores.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv, with everything at its locked version and the docsearch command

up: $(READY) ## Bring both regions up on the local cloud: prod, then dr
	@$(BIN)/docsearch local start
	@$(BIN)/docsearch up --all --local --yes

down: $(READY) ## Release the locks, destroy both regions, stop the local cloud
	@$(BIN)/docsearch destroy --all --local --release-locks --yes
	@$(BIN)/docsearch local stop

api: $(READY) ## Serve the search API with a sample, on a PostgreSQL of its own (PORT=8080)
	@$(BIN)/docsearch-api serve --sample $(if $(PORT),--port $(PORT))

test: $(READY) ## Run every test, those with the real engine included
	@$(BIN)/python -m pytest -q

check: $(READY) ## Lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY) ## Measure: the platform against the engine, the API against OpenSearch
	@$(BIN)/python -m tests.bench

soak: $(READY) ## Hold the API to its promises in full: kills, overload, floods, fuzzing (ROWS="kills rolling")
	@$(BIN)/python -m tests.soak $(ROWS)

fmt: $(READY) ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(READY) ## Bring requirements.lock in line with pyproject.toml (UPGRADE=--upgrade takes the newest versions)
	@$(BIN)/uv pip compile pyproject.toml --extra app --extra platform --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet $(UPGRADE) --output-file requirements.lock

# The stamp comes last: an interrupted set-up is done again. uv is pinned in the same lock as all the rest.
$(READY): requirements.lock pyproject.toml
	@began=$$(date +%s); \
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		test -n "$(PYTHON)" || { echo "setup: Python 3.11 or newer is needed on PATH, or: make PYTHON=/path/to/python3"; exit 1; }; \
		echo "setup: making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV) || { echo "Python's venv is missing; Debian and Ubuntu: apt install python3-venv"; exit 1; }; } && \
	awk '/^[^ ]/ {mine = /^uv==/} mine' requirements.lock > $(VENV)/uv.lock && \
	want=$$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' $(VENV)/uv.lock) && \
	case "$$($(BIN)/uv --version 2>/dev/null)" in "$$want"|"$$want "*) ;; *) \
		echo "setup: installing $$want"; \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock ;; esac && \
	echo "setup: installing $$(grep -c '^[a-z]' requirements.lock) locked packages" && \
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --no-index --editable . && \
	touch $@ && \
	echo "setup: done in $$(($$(date +%s) - began)) s"
