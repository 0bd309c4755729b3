# make demo   trains a conditional VAE on drawn digits and names the picture it made
# make test   runs the tests
# make parity compares with PyTorch (a large download); make bench times the two side by side
# make notebooks runs them from the top in a short form; make notebooks-full on the data sets in GENMODELS_DATA, for
#                an hour and a half, and keeps what they show (one of them: NOTEBOOKS=notebooks/ten_minute_tour.ipynb)
# make lint, make format, make clean
#
# Everything happens in the virtual environment $(VENV), made on first use with $(PYTHON) (3.11 or newer).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_EPOCHS ?= 4
DEMO_OUT ?= runs/demo
PYTEST_FLAGS ?=
THREADS ?= 2
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)

SOURCES := pyproject.toml setup.py $(wildcard csrc/*/*.c csrc/*/*.h)
FORMATTED_C := $(wildcard csrc/*/*.c csrc/*/*.h tests/native/*.c tests/native/*.h benchmarks/*.c)

.PHONY: demo test parity notebooks notebooks-full lint format bench clean
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
	GENMODELS_NOTEBOOKS=full $(BIN)/python notebooks/execute.py --write $(NOTEBOOKS)

lint: $(VENV)/lint-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	clang-format --dry-run -Werror $(FORMATTED_C)

format: $(VENV)/lint-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(FORMATTED_C)

bench: $(VENV)/parity-ready build/conv
	build/conv $(THREADS)
	$(BIN)/python benchmarks/vae_keras.py time --threads $(THREADS)

# The loop that measures the machine's limit is to be contracted to fused multiply-adds, the core is not.
build/conv: benchmarks/conv.c $(wildcard csrc/*/*.c csrc/*/*.h)
	mkdir -p build
	$(CC) -std=gnu11 -O3 -Wall -Wextra -Wconversion -ffp-contract=fast -Icsrc -c -o build/conv.o benchmarks/conv.c
	$(CC) -std=gnu11 -O3 -ffp-contract=off -Icsrc -o $@ build/conv.o $(wildcard csrc/base/*.c csrc/kernels/*.c) -pthread -lm

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

# PyTorch is what tests/parity/ and benchmarks/ compare with; nothing else here uses it.
$(VENV)/parity-ready: $(VENV)/test-ready
	$(BIN)/python -m pip install --quiet torch==2.13.0
	touch $@
