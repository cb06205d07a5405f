PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test lint bench clean

serve: .venv/ready
	$(BIN)/python -m server serve $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
