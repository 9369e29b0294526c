# make demo    a first picture: installs into .venv, trains the built-in scene, prints the report
# make test    the test suite            make lint    style, types        make test-cluster   jobs on a one-node SLURM
# make bench   kernel benchmarks         make clean   removes .venv and caches
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-vulkan test-cluster bench lint clean
demo: $(VENV)/.installed
	$(BIN)/python main.py --dataname demo --basedir runs/demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest tests

# the kernels' tests on Vulkan's software driver (Debian: apt-get install mesa-vulkan-drivers libvulkan1)
test-vulkan: $(VENV)/.installed
	RADIANCE_DEVICE=vulkan $(BIN)/python -m pytest tests/taichi_kernels

# jobs on a real SLURM of one node, started on loopback for the tests (Debian, as root: apt-get install slurm-wlm munge)
test-cluster: $(VENV)/.installed
	$(BIN)/python -m pytest tests/cluster

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.splatting
	$(BIN)/python -m benchmarks.volume

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/basedpyright --project pyproject.toml --pythonpath $(BIN)/python

$(VENV)/.installed: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
