# The PiCIE workbook. Nothing is needed but GNU make and Python 3.11 to 3.14; `make` alone lists what there is to do.
#   make demo PYTHON=python3.12              with another Python
#   make demo LOCK=requirements-gpu.lock     with the GPU build of faiss (Linux, CUDA); .venv remembers it

WORKERS ?= 2
VENV    := .venv
BIN     := $(VENV)/bin
LOCK    ?= $(firstword $(wildcard $(patsubst $(VENV)/.installed-%,%,$(wildcard $(VENV)/.installed-*))) requirements.lock)

# 3.14 is the newest Python that every package of the lock has a wheel for. ensurepip: Debian ships Python without it.
USABLE  := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON  ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(USABLE)' 2>/dev/null && echo $$p && break; done)

# A lock is installed into an empty environment, once; the name keeps cpu and gpu from being laid over each other.
LOCKED  := $(VENV)/.installed-$(notdir $(LOCK))
READY   := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo fast test site lab bench check lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

define REQUIRE_PYTHON
@'$(PYTHON)' -c '$(USABLE)' 2>/dev/null || { \
    echo "This needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module; $(or $(PYTHON),python3) is:" \
        "$$($(or $(PYTHON),python3) --version 2>&1 || true)."; \
    echo "Install one (Debian, Ubuntu: apt install python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=python3.12"; \
    exit 1; } >&2
endef

$(LOCKED): $(LOCK)
	$(REQUIRE_PYTHON)
	@echo "Setting up $(VENV) from $(LOCK) with $$($(PYTHON) --version): once, 2 to 5 minutes, 7 GB of disk, 10 while it installs"
	@start=$$(date +%s) && $(PYTHON) -m venv --clear $(VENV) \
	    && $(BIN)/python -m pip install --disable-pip-version-check --only-binary :all: -r $(LOCK) \
	    && $(BIN)/python -m pip check --disable-pip-version-check && touch $@ \
	    && echo "Set up in $$(( $$(date +%s) - start )) s"

$(READY): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## make .venv from requirements.lock (every target below does so by itself)
	@echo "$(VENV) is ready"

demo: $(READY) ## run the numbered notebooks on the embedded scenes; ends with the results table
	@$(BIN)/picie demo

fast: $(READY) ## the tests but for those marked slow: three minutes on 2 cores
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow" tests

test: check ## run everything CI checks: lint, types, tests, and the notebooks against their committed outputs
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests
	@# in the demo's order, and beside each other as there (demo.SHARING)
	@OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -p tests.conftest \
	    -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	    $$($(BIN)/python -c 'from picie_core import demo; print(*(f"notebooks/{file.name}" for file in demo.order()))') \
	    --nbval-lax --nbval-current-env --nbval-cell-timeout=1200 --nbval-sanitize-with tests/nbval.cfg

site: $(READY) ## write reports/site, one page with all committed results, to be read or uploaded as it is
	@$(BIN)/picie report --committed

bench: $(READY) ## what a run costs on this machine: picie bench, into reports/local/bench.json
	@mkdir -p reports/local && $(BIN)/picie bench --out reports/local/bench.json

lab: $(READY) ## open the notebooks in JupyterLab
	@cd notebooks && ../$(BIN)/jupyter lab

check: $(READY) ## lint, formatting and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/pyright --pythonpath $(BIN)/python

lock: ## resolve requirements*.lock again from pyproject.toml; UPGRADE=--upgrade takes the newest of everything
	$(REQUIRE_PYTHON)
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp"; "$$tmp/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.8; \
	compile() { "$$tmp/bin/uv" pip compile pyproject.toml --quiet --no-config --universal --fork-strategy fewest \
	    --only-binary :all: --no-annotate --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" $(UPGRADE) --extra dev --extra cluster "$$@"; }; \
	compile --extra cpu -o requirements.lock; \
	compile --extra gpu -c requirements.lock -o requirements-gpu.lock

clean: ## remove .venv, caches, data/prepared, reports/local and reports/site; the runs in reports/runs, which cost hours, stay
	rm -rf $(VENV) data/prepared reports/local reports/site build *.egg-info \
	    .pytest_cache .ruff_cache .hypothesis notebooks/.ipynb_checkpoints
	find picie_core tests -name __pycache__ -prune -exec rm -rf {} +
