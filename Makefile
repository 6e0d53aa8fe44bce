# The two commands of the README are `make run` and `make test`; each does all the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: run demo install test lint faults bench clean

run: install  ## start the node on embedded defaults, data in ./data
	$(BIN)/dicom-node up $(ARGS)

demo: install  ## send a few real studies, wait, and show what looks like one of them
	$(BIN)/python deploy/demo.py $(ARGS)

install: $(STAMP)  ## the set-up alone

$(STAMP): pyproject.toml configs/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint configs/constraints.txt --editable '.[cpu,postgres,test,dev]'
	touch $@

test: install  ## unit to end-to-end tests
	$(BIN)/python -m pytest -m 'not slow' $(ARGS)

lint: install  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: install  ## the long form of the fault tests
	$(BIN)/python -m pytest tests/faults $(ARGS)

bench: install  ## stored/s, searchable/s, lag, query times, memory
	$(BIN)/python -m tests.benchmarks.end_to_end $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
