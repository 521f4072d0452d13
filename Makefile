PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install demo lint test schemas ui clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python >= 3.11 is needed; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $(INSTALLED)

demo: install
	snakemake --cores all all

lint: install
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

test: lint
	pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# After a change of the config's types.
schemas: install
	for schema in config question fact; do \
	    kformer schema $$schema > workflow/schemas/$$schema.schema.json || exit 1; \
	done
	kformer schema readme > config/README.md

# Prints and opens where runs and conditions are shown.
ui: install
	kformer ui

clean:
	rm -rf results resources .snakemake
