# Set up and run everything. `make help` lists what there is.
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
# A thread for each worker: two that share two cores are slower than one after the other.
FAST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: help train test check test-slow test-browser tensorboard pictures demo notebooks clean .venv

help:  ## this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headscope needs Python 3.11 or newer: make PYTHON=python3.12 train")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --editable '.[all]' --group dev --constraint constraints.txt
	@touch $@

.venv: $(READY)  ## the environment alone, pinned

train: $(READY)  ## set up, then train the quickstart, write a sample and a page that holds the model (about 2 minutes)
	$(PY) train.py experiment=quickstart
	$(PY) generate.py show=page

test: $(READY)  ## set up, then run the tests
	$(FAST)

check: $(READY)  ## format, lint, types, tests; warnings are errors
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(FAST)

test-slow: $(READY)  ## the tests that take minutes
	$(FAST) -m slow

test-browser: $(READY)  ## the tests that look at pages in headless Chromium
	$(PY) -m pytest -m browser

tensorboard: $(READY)  ## the dashboard over all runs, every picture kept
	$(PY) -m tensorboard.main --logdir outputs --samples_per_plugin images=200,text=200

pictures: $(READY)  ## two pictures of the README, from `train.py sweep=positions seed=1 hydra.sweep.dir=outputs/positions`
	$(PY) -m docs.pictures outputs/positions

demo: $(READY)  ## docs/demo.html, the quickstart's page, and its photographs
	test -f outputs/demo/summary.json || $(PY) train.py experiment=quickstart hydra.run.dir=outputs/demo
	$(PY) -m docs.demo outputs/demo

notebooks: $(READY)  ## notebooks/*.ipynb, of their sources
	$(PY) notebooks/build.py

clean:  ## remove the environment and caches, never runs or data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
