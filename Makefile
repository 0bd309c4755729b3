# make demo   trains a conditional VAE on drawn digits and names the picture it made
# make test   runs the tests
# make parity compares with PyTorch (a large download)
# make bench  times every reference model, its layers and the kernels beside the machine's limit; see benchmarks/
# make bench-peers times them in turn with PyTorch and TensorFlow (large downloads), make bench-shapes single layers
# make notebooks runs them from the top in a short form; make notebooks-full on the data sets in GENMODELS_DATA, for
#                an hour and a half at most, and keeps what they show (one of them: NOTEBOOKS=notebooks/ten_minute_tour.ipynb)
# make lint, make format, make clean
#
# Everything happens in the virtual environment $(VENV), made on first use with $(PYTHON) (3.11 or newer).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_EPOCHS ?= 4
DEMO_OUT ?= runs/demo
# A worker a processor; what a file sets up, it sets up once.
PYTEST_FLAGS ?= -n logical --dist loadfile
THREADS ?= 2
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)
BENCH_FLAGS ?=

SOURCES := pyproject.toml setup.py $(wildcard csrc/*/*.c csrc/*/*.h)
FORMATTED_C := $(wildcard csrc/*/*.c csrc/*/*.h tests/native/*.c tests/native/*.h benchmarks/*.[ch])

.PHONY: demo test parity notebooks notebooks-full lint format bench bench-peers bench-shapes clean
.DELETE_ON_ERROR:

demo: $(VENV)/built
	$(BIN)/genmodels train vae-keras --conditional --data strokes --epochs $(DEMO_EPOCHS) --batch-size 64 --out $(DEMO_OUT) --overwrite

test: $(VENV)/test-ready
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

parity: $(VENV)/parity-ready
	$(BIN)/python -m pytest $(PYTEST_FLAGS) tests/parity

notebooks: $(VENV)/notebook-ready
	GENMODELS_NOTEBOOKS=short $(BIN)/python notebooks/execute.py $(NOTEBOOKS)

notebooks-full: $(VENV)/notebook-ready
	GENMODELS_NOTEBOOKS=full $(BIN)/python notebooks/execute.py --write --pictures docs/images/reports $(NOTEBOOKS)

lint: $(VENV)/lint-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	clang-format --dry-run -Werror $(FORMATTED_C)

format: $(VENV)/lint-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(FORMATTED_C)

bench: $(VENV)/built build/conv build/layer
	$(BIN)/python benchmarks/own.py --threads $(THREADS) $(BENCH_FLAGS)

bench-peers: $(VENV)/built build/layer build/peers-torch/ready build/peers-tf/ready
	$(BIN)/python benchmarks/peers.py --threads $(THREADS) $(BENCH_FLAGS)

bench-shapes: $(VENV)/built build/layer build/peers-torch/ready
	$(BIN)/python benchmarks/shapes.py --threads $(THREADS) $(BENCH_FLAGS)

# The loop that measures the machine's limit is to be contracted to fused multiply-adds, the core is not.
BENCH_FLAGS_C := -std=gnu11 -O3 -falign-functions=64 -Wall -Wextra -Wconversion -Icsrc
CORE := $(wildcard csrc/base/*.c csrc/kernels/*.c csrc/layers/*.c csrc/network/*.c)
build/conv build/layer: build/%: benchmarks/%.c benchmarks/limit.c benchmarks/limit.h benchmarks/values.h $(CORE) $(wildcard csrc/*/*.h)
	mkdir -p build
	$(CC) $(BENCH_FLAGS_C) -ffp-contract=fast -c -o $@-limit.o benchmarks/limit.c
	$(CC) $(BENCH_FLAGS_C) -ffp-contract=off -o $@ benchmarks/$*.c $@-limit.o $(CORE) -pthread -lm

# The frameworks that benchmarks/ compares with, each in an environment of its own; genmodels is imported from here.
build/peers-torch/ready: PEER := torch==2.13.0
build/peers-tf/ready: PEER := 'tensorflow-cpu==2.21.*' 'keras>=3,<4'
build/peers-torch/ready build/peers-tf/ready: | $(VENV)/bin/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet 'numpy>=2' $(PEER)
	touch $@

clean:
	rm -rf $(VENV) build dist genmodels.egg-info genmodels/_core.*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "genmodels needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# Editable: a change in genmodels/ counts at once, a change in csrc/ compiles again.
$(VENV)/built: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[plot,progress]'
	touch $@

# The package is there already: this adds what the extra asks for.
$(VENV)/test-ready $(VENV)/notebook-ready: $(VENV)/%-ready: $(VENV)/built
	$(BIN)/python -m pip install --quiet 'genmodels[$*]'
	touch $@

$(VENV)/lint-ready: $(VENV)/test-ready
	$(BIN)/python -m pip install --quiet ruff mypy
	touch $@

# PyTorch is what tests/parity/ compares with.
$(VENV)/parity-ready: $(VENV)/test-ready
	$(BIN)/python -m pip install --quiet torch==2.13.0
	touch $@
