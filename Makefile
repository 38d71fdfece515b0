# `make demo` and `make test` are the only set-up there is: each makes .venv when that is missing
# or older than pyproject.toml or constraints.txt, and says what it is doing.
#
#   make demo       install, then compute three layers over real light curves and query them
#   make test       install with the developers' tools, then run the tests (minutes)
#   make lint       ruff, mypy, import-linter
#   make test-slow  the tests that take longer than a coffee
#   make faults     inject every fault that a run is said to survive, one line each (minutes)
#   make soak       half an hour of chaos: workers, drivers and scheduler killed over and over
#   make weights    train the models that are shipped again, by the commands of their cards (WEIGHTS_FLAGS="--only MODEL")
#   make bench      the benchmarks: ratios of contestants that take turns (minutes)
#   make bench-lightcurves  durable jobs over 100,000 simulated light curves (6,000 of the slow), and the models alone (an hour; BENCH_FLAGS="--rows 10000")
#   make bench-peers   three jobs by us and by a hand-written loop, Dask, LSDB, Ray Data, Daft, Hyrax (hours, own environment)
#   make bench-images  the one on images alone; BENCH_FLAGS="--size large --rounds 3" and the like for both
#   make bench-query  five million rows and two layers: a cone with and without pruning, layers against one dataset (minutes)
#   make bench-scale  what 10^3 to 10^5 partitions cost where there is nothing to compute; start-up (half an hour)
#   make bench-plan   three jobs priced by a few of their partitions, then run: predicted and measured (minutes)
#   make bench-explorer  first paint, zoom and object of the page over 5 million objects, in a browser (minutes)
#   make clean      remove .venv, demo-output and all caches
#
# PYTHON=python3.11 picks the interpreter, SKYLOOM_DATA=DIR the survey data that some tests read,
# TORCH_FLAGS="--index-url URL" where pip finds torch (a build without CUDA is enough).

PYTHON ?= python3
VENV ?= .venv
peers := .venv-peers
BENCH_FLAGS ?=
LIGHTCURVE_SYSTEMS ?= lightcurve-features periodic-class flares vraenn
TORCH_FLAGS ?=
PYTEST_FLAGS ?=
FAULTS_FLAGS ?=
WEIGHTS_FLAGS ?=
SOAK_FLAGS ?= --minutes 30 --seed 1
SHELL := /bin/bash
.DEFAULT_GOAL := help

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check
pinned := -c constraints.txt --build-constraint constraints.txt
torch := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
base := $(VENV)/.installed-base
tools := $(VENV)/.installed-dev

SKYLOOM_DATA ?= ../shared/data
override SKYLOOM_DATA := $(abspath $(SKYLOOM_DATA))
export SKYLOOM_DATA

.PHONY: help demo test test-slow faults soak lint weights bench bench-lightcurves bench-query bench-scale bench-plan bench-explorer bench-peers bench-images clean venv venv-dev

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

$(base): pyproject.toml constraints.txt
	@echo "==> [1/4] Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(f"skyloom needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Say PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(bin)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $(base) $(tools)
	@echo "==> [2/4] Updating pip"
	@$(bin)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@echo "==> [3/4] Installing $(torch), alone and first: any other order lets pip take gigabytes of CUDA"
	@$(pip) install --quiet -c constraints.txt $(TORCH_FLAGS) $(torch)
	@echo "==> [4/4] Installing skyloom and what it stands on (a minute or two)"
	@$(pip) install --quiet $(pinned) -e .
	@touch $@
	@echo "==> Installed in $(VENV)"

$(tools): $(base)
	@echo "==> Installing the developers' tools"
	@$(pip) install --quiet $(pinned) -e ".[dev]"
	@touch $@

venv: $(base)
venv-dev: $(tools)

demo: $(base)
	@echo "==> skyloom demo"
	@$(bin)/skyloom demo

test: $(tools)
	@echo "==> pytest, two processes, without the slow tests"
	@$(bin)/python -m pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_FLAGS)

test-slow: $(tools)
	@echo "==> pytest, the slow tests"
	@$(bin)/python -m pytest -m slow $(PYTEST_FLAGS)

faults: $(tools)
	@echo "==> The fault matrix"
	@PYTHONPATH=platform $(bin)/python -m tests.faults.matrix $(FAULTS_FLAGS)

soak: $(tools)
	@echo "==> Soak, $(SOAK_FLAGS)"
	@PYTHONPATH=platform $(bin)/python -m tests.faults.soak $(SOAK_FLAGS)

lint: $(tools)
	@echo "==> ruff check"
	@$(bin)/ruff check .
	@echo "==> ruff format --check"
	@$(bin)/ruff format --check .
	@echo "==> mypy (strict)"
	@$(bin)/mypy
	@echo "==> lint-imports"
	@$(bin)/lint-imports

weights: $(tools)
	@echo "==> Training the shipped models again, by the commands of their cards; published files in $(SKYLOOM_DATA)"
	@$(bin)/python -m skyloom.training.rebuild --data "$(SKYLOOM_DATA)" $(WEIGHTS_FLAGS)

bench: $(tools)
	@echo "==> [1/3] What durability costs: the tabular job with the commit protocol, and writing plain files"
	@$(bin)/python -m tests.benchmarks.durability --partitions 24 --rounds 5
	@echo "==> [2/3] Recovery of a finished run, the engine's cost per partition, footers of planning"
	@$(bin)/python -m tests.benchmarks.recovery --commits 300
	@echo "==> [3/3] Queries over layers, and whatever else times itself under pytest"
	@$(bin)/python -m tests.benchmarks.test_query 500000
	@$(bin)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -q $(PYTEST_FLAGS)

bench-lightcurves: $(tools)
	@for system in $(LIGHTCURVE_SYSTEMS); do $(bin)/python -m tests.benchmarks.lightcurve_jobs --system $$system $(BENCH_FLAGS) || exit 1; done

bench-query: $(tools)
	@$(bin)/python -m tests.benchmarks.queries $(BENCH_FLAGS)

bench-scale: $(tools)
	@PYTHONPATH=platform $(bin)/python -m tests.benchmarks.scale $(BENCH_FLAGS)

bench-plan: $(tools)
	@PYTHONPATH=platform $(bin)/python -m tests.benchmarks.predicted $(BENCH_FLAGS)

bench-explorer: $(tools)
	@$(bin)/python -m tests.benchmarks.explorer $(BENCH_FLAGS)

$(peers)/bin/python: tests/benchmarks/peers/requirements.txt
	@echo "==> Making $(peers): what Ray Data, Daft and Hyrax run in"
	@$(PYTHON) -m venv $(peers)
	@$(peers)/bin/python -m pip install --quiet --upgrade pip
	@$(peers)/bin/python -m pip install --quiet $(TORCH_FLAGS) $(torch)
	@$(peers)/bin/python -m pip install --quiet -r $<
	@touch $@

peers_race := $(bin)/python -m tests.benchmarks.peers --peers $(peers)/bin/python --page platform/docs/benchmarks.md

bench-peers: $(tools) $(peers)/bin/python
	@echo "==> A table, images and light curves, by everybody; results go to platform/docs/benchmarks.md"
	@$(peers_race) $(BENCH_FLAGS)

bench-images: $(tools) $(peers)/bin/python
	@echo "==> Images, by everybody; results go to platform/docs/benchmarks.md"
	@$(peers_race) --jobs images $(BENCH_FLAGS)

clean:
	@echo "==> Removing $(VENV), demo-output, build and caches"
	@rm -rf $(VENV) $(peers) demo-output build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks .hypothesis
	@find platform tests catalogs jobs -name __pycache__ -type d -prune -exec rm -rf {} +
