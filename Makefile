# Everything runs in .venv, which scripts/setup.sh makes and keeps up to date. PYTHON=… chooses the interpreter.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
BIN := .venv/bin

# Tests are compiled with what pytest puts into them, which takes longer than to load them: once, not in each process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test compiled-tests lint format bench bench-quick simulate fuzz soak clean environment xrootd servers

help:
	@echo "make demo         a whole check of a small made-up site, set-up included"
	@echo "make test         set-up, then every check and test that a change has to pass"
	@echo "make lint         ruff and mypy alone"
	@echo "make format       rewrite the code in the project's layout"
	@echo "make bench-quick  the benchmarks at a small size, in a few minutes"
	@echo "make bench        the benchmarks at the size that docs/benchmarks.md reports"
	@echo "make simulate     many seeds of the simulated work queue: SEEDS=100000, FIRST=0"
	@echo "make fuzz         damaged snapshots, inventories and configurations: INPUTS=1000000 of each"
	@echo "make soak         every row of the table of faults, those that take long as well"
	@echo "make clean        remove the environment and everything that was built"

demo: environment
	@bash scripts/setup.sh xrootd || echo "Going on without an XRootD server."
	@$(BIN)/dynamo-consistency demo

test: environment servers
	@$(MAKE) -j 2 lint compiled-tests
	@$(BIN)/python -m pytest -n 6

# What is wrong with a test that cannot be loaded is said when the tests run.
compiled-tests: environment
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 || true

lint: environment
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

format: environment
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

bench: environment xrootd
	@$(BIN)/python -m benchmarks.run

bench-quick: environment xrootd
	@$(BIN)/python -m benchmarks.run --quick

simulate: environment
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100000) --first $(or $(FIRST),0)

fuzz: environment
	@$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000)

soak: environment servers
	@$(BIN)/python -m pytest tests/faults --soak

clean:
	rm -rf .venv .venv-rucio build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

environment:
	@bash scripts/setup.sh environment

xrootd:
	@bash scripts/setup.sh xrootd

servers:
	@bash scripts/setup.sh servers
