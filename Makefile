# Motherlode: every command that people and CI run. `make help` lists them.
# Paths are relative on purpose: make splits absolute ones at the spaces of a folder's name.

PYTHON ?= python3.11
# cpu or gpu: each device has its own environment, from the one lock.
DEVICE ?= cpu
ifeq ($(filter $(DEVICE),cpu gpu),)
$(error DEVICE is '$(DEVICE)'; use cpu or gpu)
endif
VENV := $(if $(filter gpu,$(DEVICE)),.venv-gpu,.venv)
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
# How many test files run side by side (tests/conftest.py says how they are shared out). A GPU has room for one alone.
WORKERS ?= $(if $(filter gpu,$(DEVICE)),0,2)
# Is there a GPU? Asked of the driver's library, as motherlode/compute/driver.py does, before anything is installed.
HAS_GPU := $(PYTHON) -c 'import ctypes, sys; sys.exit(ctypes.CDLL("libcuda.so.1").cuInit(0) != 0)' 2>/dev/null

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-gpu parity lint check-gpu bench bench-serving audit lock clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  DEVICE=gpu after a command runs it on the GPU, with RAPIDS, from an environment of its own, .venv-gpu."

setup: $(SETUP) ## create .venv and install everything, at the locked versions

$(SETUP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Motherlode needs Python 3.11: '$(PYTHON)' is not on the PATH. Name it with PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(DEVICE),warehouse,train,client,tracing,demo,dev]'
	@touch $@

demo: $(SETUP) ## run the main job on real data and serve it until Ctrl-C
	$(BIN)/motherlode demo --serve$(if $(filter gpu,$(DEVICE)), --device gpu)

test: $(SETUP) ## pass the tests
	$(BIN)/python -m pytest -q -n $(WORKERS)

test-gpu: ## the parity suite; it runs only where there is a GPU, and says so when it skips
	@if $(HAS_GPU); then $(MAKE) --no-print-directory parity DEVICE=gpu; else $(MAKE) --no-print-directory parity; fi

parity: $(SETUP)
	$(BIN)/python -m pytest -q -m gpu tests/gpu tests/contract

lint: $(SETUP) ## style, types, and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec infra/compose.yaml infra/compose.gpu.yaml
	$(BIN)/yamllint --strict .

check-gpu: $(SETUP) ## hold the GPU code against the real RAPIDS wheels, without a GPU
	$(BIN)/python scripts/check_gpu.py

bench-serving: $(SETUP) ## a full answer beside stock parts, and the promises of serving
	$(BIN)/python -m benchmarks serving faults replicas catalogue

bench: $(SETUP) ## run every benchmark; tables here, figures in benchmarks/results
	$(BIN)/python -m benchmarks

audit: $(SETUP) ## known vulnerabilities of the locked libraries
	$(BIN)/python scripts/audit.py

lock: ## resolve constraints.txt anew for both devices
	$(PYTHON) scripts/lock.py

clean: ## remove the environments, the demo's state and the caches
	rm -rf .venv .venv-gpu .motherlode .mypy_cache .ruff_cache .pytest_cache .hypothesis
