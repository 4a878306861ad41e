# Everything sets itself up: `make demo` on a bare Debian needs git, make and python3 (3.11 or later), nothing else.
# A stamp file stands for each finished step, so that what is current is not made again.

PYTHON ?= python3
DEMO ?=
TESTS ?=
WORKERS ?= 2
BENCH ?=
SEED ?= 0

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSIDE := PATH="$(BIN):$$PATH"

# Every start of a program would compile the archive anew, for half a second.
unexport PYTHONDONTWRITEBYTECODE

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
WHEEL := dist/liuhen-$(VERSION)-py3-none-any.whl
STATIC := archive/web/static/manifest.json
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard archive/web/locale/*/LC_MESSAGES/*.po))
UI := $(shell find archive/web/ui -type f 2>/dev/null)
SOURCES := $(shell find archive workers -type f -not -path '*/static/*' -not -path '*/ui/*' -not -name '*.pyc' -not -name '*.mo')

.PHONY: help demo production-demo test soak bench check web build lock bare pictures clean system-demo system-production system-test system-bare
.DELETE_ON_ERROR:

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: $(VENV)/.program $(STATIC) $(CATALOGUES)  ## a recorder's footage from dock to replay; DEMO=--check verifies it and ends
	@exec $(BIN)/liuhen demo $(DEMO)

production-demo: system-production $(VENV)/.program $(STATIC) $(CATALOGUES)  ## the same on PostgreSQL, RabbitMQ, S3 and nginx, several processes of each kind; DEMO=--check as well
	@exec $(BIN)/python -m infra.stack $(DEMO)

test: check system-test $(CATALOGUES)  ## check, then every test but bench and soak; TESTS="tests/web -k tus" narrows it, WORKERS=0 runs them one by one
	@$(BIN)/python -m pytest -m "not bench and not soak" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

soak: $(VENV)/.dev $(VENV)/.program $(STATIC) $(CATALOGUES) system-test  ## the full counts; SEED=n repeats a run, and goes on with one that was killed
	@$(BIN)/python -m tests.soak.run --seed $(SEED)
	@HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m "not bench" --hypothesis-seed=$(SEED) --timeout=3600 $(TESTS)

bench: $(VENV)/.dev $(VENV)/.program $(STATIC) $(CATALOGUES) system-test  ## measure speed and memory into docs/performance.md; BENCH="playable" one of them
	@$(INSIDE) $(BIN)/python tests/bench/run.py $(BENCH)

check: $(VENV)/.dev $(VENV)/.program $(STATIC)  ## lint, format, types, import contracts, the pages' types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(INSIDE) $(BIN)/lint-imports --no-cache >$(VENV)/contracts.txt || { cat $(VENV)/contracts.txt; exit 1; }
	@$(INSIDE) npm run --silent check

web: $(STATIC) $(CATALOGUES)  ## build the pages' scripts, styles and catalogues

build: $(WHEEL)  ## a wheel with the built pages in it

lock: $(VENV)/.dev  ## write the lock files anew; UPGRADE=--upgrade moves every version
	$(call compile,requirements.lock,)
	$(call compile,requirements-build.lock,--group build -c requirements.lock)
	$(call compile,requirements-dev.lock,--group dev -c requirements.lock -c requirements-build.lock)
	$(INSIDE) npm install --package-lock-only

bare: system-bare  ## prove the demo in a bare Debian folder
	infra/bare.sh

pictures: $(VENV)/.dev $(VENV)/.program $(STATIC) $(CATALOGUES) system-test  ## take the README's pictures anew
	@$(BIN)/python tests/journeys/pictures.py

clean:  ## remove all that was made here
	rm -rf $(VENV) node_modules dist archive/web/static $(CATALOGUES) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# No address goes into a lock file; whoever installs decides where from, and the hashes decide whether it is the same.
compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links $(UPGRADE) $(if $(findstring --group,$2),,pyproject.toml) $2 -o $1

system-demo system-production system-test system-bare: system-%:
	@infra/setup.sh $*

$(VENV)/pyvenv.cfg: | system-demo
	$(PYTHON) -m venv $(VENV)

$(VENV)/.build: requirements.lock requirements-build.lock | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r requirements.lock -r requirements-build.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.build
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.program: pyproject.toml $(VENV)/.build
	$(PIP) install --quiet --no-deps --no-index --no-build-isolation --editable .
	@touch $@

node_modules/.ready: package.json package-lock.json .npmrc $(VENV)/.build
	$(INSIDE) npm ci --silent
	@touch $@

$(STATIC): $(UI) node_modules/.ready
	$(INSIDE) npm run --silent build -- --logLevel warn

%.mo: %.po $(VENV)/.build
	$(BIN)/pybabel --quiet compile --input-file $< --output-file $@

$(WHEEL): $(SOURCES) $(STATIC) $(CATALOGUES) pyproject.toml README.md LICENSE $(VENV)/.build
	rm -f dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@ls -l $@
