# Tasks of a contributor. They use the environment that is active; `make setup` makes one in .venv.
PYTHON ?= python
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest
WORKERS = --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help

help:  ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

setup:  ## Make an environment in .venv with all tools, and install the checks of commits
	python3 -m venv .venv
	.venv/bin/pip install --constraint constraints.txt --editable '.[dev]'
	.venv/bin/pre-commit install || true
	@echo 'now: . .venv/bin/activate'

test:  ## Run the tests that take seconds (a minute and a half on two cores)
	$(PYTEST) $(WORKERS) -m 'not slow'

test-all:  ## Run all tests
	$(PYTEST) $(WORKERS)

coverage:  ## Run all tests and tell which lines and branches none of them reaches
	$(PYTEST) $(WORKERS) --cov --cov-report term --cov-fail-under 90

check:  ## Lint, types, spelling
	ruff check .
	ruff format --check .
	mypy
	codespell

docs:  ## Build the documentation into docs/_build/html
	$(PYTHON) -m sphinx -W --keep-going -b html docs docs/_build/html

outputs:  ## Run all examples and keep what they print, for the gallery
	$(PYTHON) docs/site_outputs.py

bench-quick:  ## Run the fast form of the benchmarks that have one
	for name in theory sparse constraint_cost; do OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.speed.$$name --quick || exit 1; done

mutants:  ## Change the code in small ways and see whether a test notices (an hour or two)
	$(PYTHON) tests/mutants.py

.PHONY: help setup test test-all coverage check docs outputs bench-quick mutants
