# Two commands: `make demo` shows the whole journey, `make test` checks everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

demo: setup
	$(BIN)/inrgen demo --out demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=15
