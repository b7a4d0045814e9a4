# Everything a newcomer needs is `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready
PAGE_READY := src/processor/adapters/websocket/page/vendor/maplibre-gl.js
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: $(DEV_READY) ## .venv/ with the service and the development tools

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'processor needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo 'Python is here but its venv module is not: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }

# What the demo runs on comes first and alone, so that the first picture comes soon.
$(RUN_READY): requirements/demo.lock requirements/build.lock pyproject.toml | $(BIN)/python $(PAGE_READY)
	@echo 'installing what processor runs on ...'
	@$(PIP) install --require-hashes -r requirements/demo.lock -r requirements/build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The live page's map library: fetched by version and checksum, never committed.
$(PAGE_READY): requirements/page.lock requirements/unpack_page.py | $(BIN)/python
	@echo 'fetching the map library ...'
	@rm -rf $(VENV)/page
	@$(PIP) download --no-deps --require-hashes --dest $(VENV)/page -r requirements/page.lock
	@$(BIN)/python requirements/unpack_page.py $(VENV)/page/*.whl $(@D)
	@rm -rf $(VENV)/page

$(DEV_READY): requirements/dev.lock $(RUN_READY)
	@echo 'installing the development tools ...'
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
  --python-version 3.11 --custom-compile-command 'make lock' pyproject.toml
.PHONY: lock
lock: $(DEV_READY) ## resolve the requirements anew, by hash, naming no registry
	@$(PIP) install uv
	@$(LOCK) --extra demo --group build --group dev -o requirements/dev.lock
	@$(LOCK) --extra demo -c requirements/dev.lock -o requirements/demo.lock
	@$(LOCK) --extra service -c requirements/dev.lock -o requirements/service.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --custom-compile-command 'make lock' --group build -c requirements/dev.lock -o requirements/build.lock

.PHONY: fmt
fmt: $(DEV_READY) ## format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

.PHONY: lint
lint: $(DEV_READY) ## format and lint, checked
	@$(BIN)/ruff format --check --quiet . || { echo 'not formatted: make fmt' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .

.PHONY: types
types: $(DEV_READY) ## mypy, strict
	@$(BIN)/mypy --no-error-summary

.PHONY: imports
imports: $(DEV_READY) ## the layers of the house
	@$(BIN)/lint-imports --no-cache > .import-linter.out || { cat .import-linter.out; rm -f .import-linter.out; exit 1; }; rm -f .import-linter.out

# One worker for each of two cores. They take file after file, in the order of tests/conftest.py.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: unit
unit: $(DEV_READY) ## the tests that need no server
	@$(BIN)/pytest -q $(WORKERS) tests/unit tests/machines tests/contracts -m 'not redis and not postgres and not timescale and not directus and not browser and not slow'

.PHONY: check
check: lint types imports unit ## what each commit passes; under a minute

.PHONY: test
test: $(DEV_READY) ## the whole suite, on real servers
	@$(BIN)/pytest -q $(WORKERS)

.PHONY: timescale
timescale: $(DEV_READY) ## TimescaleDB for the tests: fetched once, into a cache folder
	@.ci/timescale $(BIN)/python

.PHONY: promtool
promtool: $(DEV_READY) ## promtool for the tests of the alerts: fetched once, into a cache folder
	@.ci/promtool $(BIN)/python

.PHONY: compression
compression: $(DEV_READY) ## a TimescaleDB that compresses, for its tests: fetched once, into a cache folder
	@.ci/compression $(BIN)/python

.PHONY: directus
directus: $(DEV_READY) ## Directus for the tests: fetched once, into a cache folder
	@.ci/directus $(BIN)/python

.PHONY: schema
schema: $(DEV_READY) ## schema/snapshot.yaml and schema/extra.sql, written from schema/tables.sql
	@$(BIN)/python schema/generate.py schema

.PHONY: sim
sim: $(DEV_READY) ## whole worlds under seeded faults: SEEDS=100000, or SEED=25 to live through one again
	@$(BIN)/python -m proof.sim $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(SIM)

.PHONY: demo
demo: $(RUN_READY) ## a recorded track through the whole service, on this machine
	@$(BIN)/processor demo $(DEMO)

.PHONY: reference
reference: $(DEV_READY) ## .env.example and the tables of docs/OPERATIONS.md, written from the code
	@$(BIN)/processor reference .

.PHONY: clean
clean: ## forget what was made
	@rm -rf $(VENV) $(dir $(PAGE_READY)) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

.PHONY: bench
bench: $(DEV_READY) ## the pipeline, its bound and two peers, measured (six minutes); BENCH=--quick
	@$(BIN)/python -m bench.run $(BENCH)

.PHONY: profile
profile: $(DEV_READY) ## where the processor spends its time under a full stream
	@$(BIN)/python -m bench.hotspots $(PROFILE)

.PHONY: bench-live
bench-live: $(DEV_READY) ## the fan-out to browsers, its bound and two peers, measured; BENCH=--quick
	@$(BIN)/python -m bench.live $(BENCH)

.PHONY: bench-domain
bench-domain: $(DEV_READY) ## crossings with their instants, against shapely and PostGIS, measured
	@$(BIN)/python -m bench.domain $(BENCH)

.PHONY: accuracy
accuracy: $(DEV_READY) ## how right the instants are, against simulated vehicles: docs/ACCURACY.md
	@$(BIN)/python -m proof.accuracy $(ACCURACY)

# Atheris guides the fuzzer by the lines that it reaches. It has wheels for Linux on x86-64 only, so
# it is no development tool of ours; without it the fuzzer guides itself, more coarsely.
FUZZING = $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED)) \
  $(if $(INPUTS),--inputs $(INPUTS),--seconds $(or $(SECONDS),60) $(if $(TARGET),,--document))
.PHONY: fuzz
fuzz: $(DEV_READY) ## odd inputs against every promise: SECONDS=600, or TARGET= SEED= INPUTS= again
	@$(BIN)/python -c 'import atheris' 2> /dev/null || $(PIP) install --only-binary :all: atheris 2> /dev/null \
	  || echo 'no Atheris for this machine: the fuzzer guides itself'
	@$(BIN)/python -m proof.fuzz $(FUZZING)

.PHONY: soak
soak: $(DEV_READY) ## an hour of ordinary life, and nothing may grow: MINUTES=60 RATE=300 BROWSERS=20
	@$(BIN)/python -m proof.soak --minutes $(or $(MINUTES),60) --document \
	  $(if $(RATE),--rate $(RATE)) $(if $(BROWSERS),--browsers $(BROWSERS)) $(if $(SEED),--seed $(SEED))

.PHONY: museum
museum: $(DEV_READY) ## plant each bug of tests/museum/ and see who catches it: MUSEUM='--only 03 --layers unit'
	@$(BIN)/python -m proof.museum $(MUSEUM)

.PHONY: mutants
mutants: $(DEV_READY) ## change the code that decides, bit by bit: does a test notice? MUTANTS='--only ledger'
	@$(BIN)/python -m proof.mutants $(MUTANTS)

.PHONY: kill
kill: $(DEV_READY) ## three instances, killed and killed again: is the sum right? MINUTES=10, or KILLS=40; SEED=7
	@$(BIN)/python -m proof.kill $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))
