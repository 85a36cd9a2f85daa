# Sets up and runs everything. `make help` lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
DOCS_READY := .venv/.docs-ready
# One thread per test process: on two cores, two parallel processes with two threads each are slower than one at a time.
FAST := OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: help train test check test-slow test-browser tensorboard docs pictures demo notebooks clean .venv

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headscope needs Python 3.11 or newer: make PYTHON=python3.12 train")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --editable '.[all]' --group dev --constraint constraints.txt
	@touch $@

$(DOCS_READY): $(READY)
	$(PY) -m pip install --quiet --group docs --constraint constraints.txt
	@touch $@

.venv: $(READY)  ## set up the environment only, with pinned versions

train: $(READY)  ## set up, train the quickstart, print a sample, write a page that runs the model (about 2 minutes)
	$(PY) train.py experiment=quickstart
	$(PY) generate.py show=page

test: $(READY)  ## set up and run the tests
	$(FAST)

check: $(READY)  ## format, lint, types, tests; warnings are errors
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(FAST)

test-slow: $(READY)  ## run the tests that take minutes
	$(FAST) -m slow

test-browser: $(READY)  ## run the tests that open pages in headless Chromium
	$(PY) -m pytest -m browser

tensorboard: $(READY)  ## start the dashboard of all runs at http://localhost:6006
	$(PY) -m tensorboard.main --logdir outputs --samples_per_plugin images=200,text=200

docs: $(DOCS_READY)  ## build the documentation site into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "open site/index.html"

pictures: $(READY)  ## draw the pictures in the README (about 10 minutes)
	test -f outputs/repeated/summary.json || $(PY) train.py experiment=repeated hydra.run.dir=outputs/repeated
	test -d outputs/extrapolation || $(PY) train.py -m experiment=extrapolation position=rope,alibi,fox seed=1,2,3 trainer.threads=1 hydra.launcher.n_jobs=2 hydra.sweep.dir=outputs/extrapolation
	$(PY) -m docs.pictures induction outputs/repeated
	$(PY) -m docs.pictures extrapolation outputs/extrapolation

demo: $(READY)  ## build docs/demo.html, the page of the quickstart, and its screenshots
	test -f outputs/demo/summary.json || $(PY) train.py experiment=quickstart hydra.run.dir=outputs/demo
	$(PY) -m docs.demo outputs/demo

notebooks: $(READY)  ## build notebooks/*.ipynb from notebooks/source
	$(PY) notebooks/build.py

clean:  ## remove the environment, the site and caches; keep runs and data
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache src/*.egg-info
