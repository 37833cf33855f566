# Every command of the project. `make help` lists them; each sets up what it needs first.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Settings of an environment that is active by chance must not leak into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

# Addresses, hosts' comments and options stay out of the files, so that uv and pip install them on 3.11 to 3.13.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --no-annotate \
	--python-version 3.11 pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo test check dev bench validate oracles lock clean
.DELETE_ON_ERROR:

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo '  Arguments are handed on: make demo ARGS="--days 60", make test ARGS="-k splits"'

setup: $(VENV)/.setup-dev  ## Install everything for work on the project into .venv

demo: $(VENV)/.setup-run  ## Run the whole asset graph on a simulated market, offline
	$(BIN)/crypto-platform demo $(ARGS)

dev: $(VENV)/.setup-run  ## Open Dagster's web interface and daemon on this machine
	$(BIN)/crypto-platform dev $(ARGS)

test: $(VENV)/.setup-dev  ## Run the whole test suite, on all cores
	$(BIN)/pytest -n auto --dist loadfile $(ARGS)

check: $(VENV)/.setup-dev  ## Check format, lint, types, imports, deployment files, rendered docs, pinned versions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/python scripts/check_requirements.py
	$(BIN)/crypto-platform docs --check

bench: $(VENV)/.setup-dev  ## Measure beside baselines; ARGS="writes history" for parts, ARGS=--help for what there is
	$(BIN)/python -m benchmarks $(ARGS)

validate: $(VENV)/.setup-dev  ## Show what the models can do and cannot, into docs/validation.md; takes an hour
	$(BIN)/python -m validation $(or $(ARGS),science)

oracles: $(VENV)/.setup-dev  ## Compare every feature with its oracle, into docs/feature-oracles.md
	$(BIN)/python -m validation.feature_oracles $(ARGS)

lock:  ## Compile requirements/ again from pyproject.toml (needs uv and a network)
	$(COMPILE) --group build -o requirements/run.txt
	$(COMPILE) --group build --group dev -c requirements/run.txt -o requirements/dev.txt

clean:  ## Remove the environment and the caches; HOME with the store stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps live in the environment: without it they are gone too.
$(VENV)/.setup-%: requirements/%.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $*
