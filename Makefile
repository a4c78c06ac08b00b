# `make run` does the main job; `make test` proves it. Both install what they need and are safe to repeat.
SHELL := /bin/sh
PY := .venv/bin/python
# The oldest CPython that will do is 3.11; PYTHON=/path/to/python3 chooses another one.
PYTHON ?= python3
STAMPS := .venv/.stamps
# The lock files are complete, so nothing is resolved again; what is imported is compiled when it is.
PIP := $(PY) -m pip install -q --disable-pip-version-check --no-deps --no-compile

# A .venv that was moved, or whose Python has gone, does not work: make another one.
$(shell [ ! -e $(STAMPS)/venv ] || { [ -x $(PY) ] && [ "$$(cat $(STAMPS)/venv)" = "$(CURDIR)" ]; } || rm -rf .venv)

.PHONY: help install run test check ci sdk crash browser screenshots simulate crash-matrix fuzz bench soak contract fix golden lock clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMPS)/main ## make .venv with the hostler command

run: $(STAMPS)/main ## start Hostler, let an agent mend a small project, and show how it goes
	@HOSTLER=.venv/bin/hostler sh examples/main-job.sh

test: $(STAMPS)/dev ## run every test: unit, sandbox, databases, official clients, crashes
	@.venv/bin/coverage erase
	.venv/bin/coverage run -m pytest $(ARGS)
	@.venv/bin/coverage combine -q && echo "coverage: $$(.venv/bin/coverage report --format=total) %"

check: $(STAMPS)/dev ## lint, types, import contracts, generated code
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	$(PY) proto/generate.py --check

ci: check ## what CI runs: the checks, then the tests
	@scripts/test-twice

sdk: $(STAMPS)/dev ## drive the official clients only
	.venv/bin/pytest -m sdk $(ARGS)

crash: $(STAMPS)/dev ## kill the real server only
	.venv/bin/pytest -m crash $(ARGS)

browser: $(STAMPS)/dev ## drive the pages in a real Chromium only
	BROWSER_NEEDED=1 .venv/bin/pytest -m browser $(ARGS)

screenshots: $(STAMPS)/dev ## take pictures of every page into .cache/screenshots
	$(PY) -m tests.browser.gallery $(ARGS)

soak: $(STAMPS)/dev ## work steadily for SECONDS (120), then see that nothing has grown
	$(PY) -m bench.soak $(or $(SECONDS),120)

simulate: $(STAMPS)/dev ## simulate bad days: SEEDS=1000 runs so many, SEED=42 replays one
	$(PY) -m hostler.testing.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(ARGS)

fuzz: $(STAMPS)/dev ## shoot at the border for SECONDS (300); what breaks is printed as a curl command
	$(PY) -m tests.fuzz --seconds $(or $(SECONDS),300) $(ARGS)

crash-matrix: $(STAMPS)/dev ## kill the server at every step of a story; writes docs/crash-matrix.md
	$(PY) -m tests.crash.matrix --kills

bench: $(STAMPS)/dev ## measure what Hostler costs on this machine; writes docs/benchmarks.md
	$(PY) -m bench.run $(ARGS)

contract: $(STAMPS)/dev ## generate src/hostler/contract from proto/
	$(PY) proto/generate.py

golden: $(STAMPS)/dev ## write the expected logs of stories anew; review the diff
	HOSTLER_GOLDEN=write .venv/bin/pytest tests/engine/test_golden.py

fix: $(STAMPS)/dev ## mend what ruff can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: $(STAMPS)/dev ## resolve requirements/*.in again
	@for name in build main dev; do .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade \
	  requirements/$$name.in -o requirements/$$name.txt; done
	@.venv/bin/uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade \
	  requirements/terminal.in -o requirements/terminal.txt

clean: ## remove everything that was made here
	rm -rf .venv .cache .hostler .coverage* .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@PYTHON=$(PYTHON) scripts/system-packages git python3-venv -- bubblewrap
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@mkdir -p $(STAMPS) && echo "$(CURDIR)" >$@

$(STAMPS)/main: $(STAMPS)/venv requirements/main.txt requirements/terminal.txt requirements/build.txt pyproject.toml
	@echo "Installing Hostler into .venv"
	@$(PIP) --require-hashes -r requirements/main.txt -r requirements/terminal.txt -r requirements/build.txt
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/main requirements/dev.txt
	@scripts/system-packages -- postgresql curl openssl 'chromium-headless-shell|chromium' fonts-dejavu-core
	@echo "Installing what the tests need into .venv"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
