PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test lint bench soak fuzz wheels clean

serve: .venv/ready
	$(BIN)/python -m server serve $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# bench/README.md has the single commands; all of these need ../shared/audio/digits. An hour, with
# nothing else on the machine.
BENCHES := offline capacity peers admission beside shapes files growth sessions idle stages limit silence transcriber delays page cuts
bench: .venv/dev
	for streams in 1 8; do \
	  $(BIN)/python -m bench.load --streams $$streams --runs 3 \
	    --json bench/results/load-$$streams.json || exit 1; \
	done
	for name in $(BENCHES); do \
	  $(BIN)/python -m bench.$$name --json bench/results/$$name.json || exit 1; \
	done
	$(BIN)/python -m bench.load --protocol speechmatics --streams 20 --seconds 20 --runs 2 \
	  --json bench/results/load-speechmatics.json
	$(BIN)/python -m bench.cuts --client page --json bench/results/cuts-page.json
	$(BIN)/python -m bench.report

# STREAMS: four fifths of what bench.capacity found.
soak: .venv/dev
	$(BIN)/python -m bench.soak --streams $(or $(STREAMS),1) --minutes 30 --json bench/results/soak.json

fuzz: .venv/dev
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest --timeout 1800 tests/test_native_fuzz.py \
	  tests/test_openapi_fuzz.py $(ARGS)

# For a GPU machine without a network; see docs/gpu.md.
WHEELS_PYTHON := 3.12
PLATFORMS := 2_28 2_27 2_24 2_17
wheels: .venv/ready
	mkdir -p .wheels
	$(BIN)/python -m pip list --format freeze --exclude-editable > .wheels/versions.txt
	$(BIN)/python -m pip download --quiet --constraint .wheels/versions.txt --no-deps --only-binary=:all: --dest .wheels \
	  --python-version $(WHEELS_PYTHON) --implementation cp --platform manylinux2014_x86_64 \
	  $(foreach version,$(PLATFORMS),--platform manylinux_$(version)_x86_64) \
	  --requirement bench/wheels.txt

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
