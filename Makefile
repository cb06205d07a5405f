PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test lint bench soak fuzz clean

serve: .venv/ready
	$(BIN)/python -m server serve $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# bench/README.md has the single commands; all of these need ../shared/audio/digits.
bench: .venv/dev
	$(BIN)/python -m bench.offline --json bench/results/offline.json
	$(BIN)/python -m bench.load --streams 1 --runs 3 --json bench/results/load-1.json
	$(BIN)/python -m bench.load --streams 8 --runs 3 --json bench/results/load-8.json
	$(BIN)/python -m bench.silence --json bench/results/silence.json

soak: .venv/dev
	$(BIN)/python -m bench.soak --json bench/results/soak.json

fuzz: .venv/dev
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest --timeout 1800 tests/test_native_fuzz.py $(ARGS)

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
