# Every target does its own set-up in .venv; a fresh machine needs a Python of at least 3.11 and nothing else.
# PYTHON=... chooses the interpreter, VENV=... another folder, WORKERS=... the number of test processes.

VENV ?= .venv
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$name; break; }; done)
WORKERS ?= auto
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venvs/peers/.installed
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS)
FAST := tests/test_architecture.py tests/unit tests/scenarios

.PHONY: help setup demo test check coverage bench bench-full bench-peers clean

help:
	@echo "make demo         run a pipeline on the standard library's sources, twice, and explain it"
	@echo "make test         everything: checks, all tests, coverage of the pure core"
	@echo "make check        format, lint, strict types, import contract, fast tests"
	@echo "make coverage     branch coverage of spec and scheduling, at least 95 %"
	@echo "make bench        the figures of this machine (bench-full: also the long ones; bench-peers: beside other systems)"
	@echo "make clean        remove what the targets made"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "weft needs Python 3.11 or newer (none of python3.13 ... python3 is)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) hatchling editables -c constraints.txt
	$(PIP) --no-build-isolation -e '.[dev]' -c constraints.txt
	$(BIN)/python -m compileall -q src
	@touch $(STAMP)

demo: $(STAMP)
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/census/demo.sh build/demo

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) $(FAST)

test: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) coverage
	$(PYTEST) tests --ignore=tests/unit --ignore=tests/scenarios --ignore=tests/properties

# The tiers that can reach the pure core run here, measured, so that `test` need not run them a second time.
coverage: $(STAMP)
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -q -n $(WORKERS) tests/unit tests/scenarios tests/properties
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

bench: $(STAMP)
	$(BIN)/python -m benchmarks

bench-full: $(STAMP)
	$(BIN)/python -m benchmarks --full

bench-peers: $(STAMP) $(PEERS)
	$(BIN)/python -m benchmarks --peers commands calls

$(PEERS):
	$(PYTHON) -m venv $(dir $(PEERS))
	$(dir $(PEERS))bin/python -m pip install -q --disable-pip-version-check hyperqueue 'dask[distributed]'
	@touch $(PEERS)

clean:
	rm -rf build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
	rm -rf $(VENV) .venvs
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
