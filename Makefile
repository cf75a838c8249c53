# make demo    train, evaluate and plot SL-SAC on a Safety-Gymnasium task (about 12 minutes on 2 cores, after the set-up)
# make test    linters, type checker and every test
# Both set everything up first: a virtual environment, the pinned packages, the compiled core. make help lists the rest.

PYTHON ?= python3
VENV ?= .venv
DEMO_TASK ?= SafetyHalfCheetahVelocity-v1
DEMO_STEPS ?= 42000
DEMO_SEED ?= 0
DEMO_OUT ?= runs/demo

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip
# --no-compile: Python compiles what it imports; of torch, Ray and the like that is a small part.
PIP_INSTALL := $(PIP) install --quiet --disable-pip-version-check --no-compile -c requirements/constraints.txt
CXX_SOURCES = $(shell find csrc tests/cuda_emulation tests/ops -name '*.h' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' 2>/dev/null)

.PHONY: help setup build demo test lint format docs cuda ceilings clean
.DELETE_ON_ERROR:

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: build  ## Virtual environment, pinned packages, the package in editable form, compiled core

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info[:2] <= (3, 13) else "pyslsac needs Python 3.10 to 3.13, and $(PYTHON) is " + sys.version.split()[0] + ": name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch comes before the core, whose build looks for it in the environment. The editable install builds no core of its own.
$(VENV)/.packages: $(VENV)/.venv requirements/constraints.txt requirements/safety-gymnasium.txt pyproject.toml
	$(PIP_INSTALL) torch scikit-build-core pybind11 cmake ninja
	$(PIP_INSTALL) --no-deps -r requirements/safety-gymnasium.txt
	$(PIP_INSTALL) --no-build-isolation --config-settings=wheel.cmake=false --editable '.[dev]'
	@touch $@

build: $(VENV)/.packages  ## Compile the core into the checkout; only what changed is compiled again
	@PATH="$(BIN):$$PATH" cmake -S . -B build -G Ninja -DPython_EXECUTABLE="$(BIN)/python" --log-level=NOTICE
	@PATH="$(BIN):$$PATH" cmake --build build
	@PATH="$(BIN):$$PATH" cmake --install build --prefix . >/dev/null

demo: setup  ## Train, evaluate and plot; ends with what the constraint did. Run again after a break, it goes on
	@if [ -d $(DEMO_OUT) ]; then $(BIN)/pyslsac train --resume $(DEMO_OUT); else \
	  $(BIN)/pyslsac train sl-sac $(DEMO_TASK) --preset demo --steps $(DEMO_STEPS) --seeds $(DEMO_SEED) \
	    --eval-every 0 --final-episodes 10 --out $(DEMO_OUT); fi
	$(BIN)/pyslsac plot $(DEMO_OUT) --out $(DEMO_OUT)/demo.png

test: lint  ## Linters, type checker and every test
	$(BIN)/pyslsac doctor
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=20

lint: setup  ## ruff, clang-format and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)
	$(BIN)/mypy

format: setup  ## Rewrite every file in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

docs: setup  ## Write the tables of the README and the docs from the code and from bench/results
	$(BIN)/python docs/generate.py

cuda:  ## Compile every kernel for sm_80 and sm_90; fails where one needs more than its ceilings
	.ci/cuda_kernels

ceilings:  ## Write the kernels' registers, shared memory and stack to csrc/cuda/ceilings.json
	.ci/cuda_kernels --write

clean:  ## Remove what setup, builds and tests made; runs/ stays
	rm -rf $(VENV) build pyslsac/lib pyslsac/_C*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
