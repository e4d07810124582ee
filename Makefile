# The two that matter: `make demo` shows what the program does, `make test` proves it. Both start from a bare clone.
# PYTHON=python3.12 picks the interpreter, UV=1 installs with uv (UV=0 with pip even where uv is there).

VENV := .venv
BIN := $(VENV)/bin
export PYTHON UV

.DEFAULT_GOAL := help
.PHONY: help demo demo-azure test lint types lock bench clean

help:  ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

demo: $(VENV)/demo-ready  ## Run the main job on sample logs and costs: a week of spend, quota and throttling
	@$(BIN)/maas-monitor demo --keep demo

demo-azure: $(VENV)/test-ready  ## Live 40 days of a tenant of 60 deployments on servers that behave like Azure's
	@.ci/node/install
	@$(BIN)/python -m tests.azure.tenant

test: $(VENV)/test-ready  ## Run the tests; whatever needs a part that is not installed is skipped, and says so
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal -r s

lint: $(VENV)/all-ready  ## Check style and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/all-ready  ## Check types
	@$(BIN)/mypy

bench: $(VENV)/test-ready  ## Compare the main job's speed with others on the same files
	@for file in $$(grep -l __main__ tests/benchmarks/*.py); do \
		echo "== $$file"; $(BIN)/python -m tests.benchmarks.$$(basename $$file .py) || exit 1; done

lock: $(VENV)/all-ready  ## Resolve requirements.txt afresh
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--upgrade --no-emit-index-url --generate-hashes --no-header --quiet --output-file requirements.txt

clean:  ## Remove what the other targets made
	@rm -rf $(VENV) dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/demo-ready: requirements.txt pyproject.toml
	@.ci/install $(VENV) dependencies build
	@touch $@

$(VENV)/test-ready: requirements.txt pyproject.toml
	@.ci/install $(VENV) dependencies all build test
	@touch $@ $(VENV)/demo-ready

$(VENV)/all-ready: requirements.txt pyproject.toml
	@.ci/install $(VENV) dependencies all dev
	@touch $@ $(VENV)/demo-ready $(VENV)/test-ready
