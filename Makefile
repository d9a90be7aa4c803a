# Everything runs in .venv, which is set up on first use from the pins in requirements/.
# Needed on the machine: python3 (3.11 or newer) with pip, and make.
#
# To use another interpreter:          make test PYTHON=python3.12
# To hand something on to pytest:      make test ARGS="-k screening -x"
# To run the demo on another service:   make demo SERVICE=kataven

PYTHON ?= python3
VENV ?= .venv
OLDEST := $(VENV)-3.1
ARGS ?=
NAME ?= waiting
SERVICE ?= graine

# One more than there are cores: many tests wait for a clock.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')

BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --no-input --quiet --quiet
SAY := @printf '\n==> %s\n'

# Airflow takes three times as long to start without .pyc files, and another PYTHONPATH brings other packages in.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up test test-privacy test-real e2e crash crash-oldest matrix bench check docs release-check format pins clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo-ready ## Run the main job on embedded parts: people in, calls made, results landed; phones nobody
	$(SAY) "Demo: people from a warehouse are called (by a local stand-in) and the results land as files"
	@$(BIN)/python -m demo --service $(SERVICE) $(ARGS)

up: $(VENV)/.demo-ready ## Start Airflow with a sandbox, the example DAGs and the page of calls, to click through
	@$(BIN)/python -m demo.up $(ARGS)

test: $(VENV)/.dev-ready ## Run the tests that need nothing but this machine
	$(SAY) "Tests (others have their own targets: make test-privacy, make test-real, make e2e, make crash)"
	@$(BIN)/python -m pytest -m "not privacy and not real and not e2e and not crash" -n $(WORKERS) --dist loadfile $(ARGS)

test-privacy: $(VENV)/.dev-ready ## Mark people and secrets, run every class in every way, and look for them in all that Airflow keeps
	$(SAY) "Nothing personal, and no secret, gets to where it does not belong"
	@$(BIN)/python -m pytest -m privacy -n $(WORKERS) $(ARGS)

test-real: $(VENV)/.dev-ready ## Run the tests on a real PostgreSQL and a real S3 server, started by the tests
	$(SAY) "Tests on a real PostgreSQL and a real S3 server"
	@$(BIN)/python -m pytest -m real -n 2 --dist loadfile $(ARGS)

e2e: $(VENV)/.dev-ready ## Run the tests on a real Airflow (scheduler, triggerer, API server), started by the tests
	$(SAY) "Tests on a real Airflow"
	@$(BIN)/python -m pytest -m e2e $(ARGS)

crash: $(VENV)/.dev-ready ## Kill tasks at every step of uploads and waits
	$(SAY) "Killed uploads and waits"
	@$(BIN)/python -m pytest tests/crash -n $(WORKERS) --dist loadfile $(ARGS)

crash-oldest: $(OLDEST)/.ready ## The same on the oldest supported Airflow
	$(SAY) "Killed uploads and waits, on the oldest supported Airflow"
	@$(OLDEST)/bin/python -m pytest tests/crash $(ARGS)

matrix: $(VENV)-pins/.ready ## Run what depends on Airflow on all supported versions of it and of Python (a cell: ONLY="3.4")
	$(SAY) "Every supported Airflow and Python, and the lowest dependencies"
	@$(PYTHON) .ci/matrix.py --uv $(VENV)-pins/bin/uv $(ONLY)

bench: $(VENV)/.dev-ready ## Measure beside a plain script: make bench NAME=waiting (benchmarks/README.md lists them)
	@$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

check: $(VENV)/.dev-ready ## Lint, formatting, types
	$(SAY) "ruff check"
	@$(BIN)/ruff check .
	$(SAY) "ruff format --check"
	@$(BIN)/ruff format --check .
	$(SAY) "mypy --strict"
	@$(BIN)/mypy airflow_provider_graine

docs: $(VENV)/.dev-ready ## Build the documentation as a site, into build/docs
	$(SAY) "Documentation"
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

release-check: $(VENV)/.dev-ready ## Check what must hold of a release (with the tag to be made: ARGS="--tag v0.1.0")
	$(SAY) "Release"
	@$(BIN)/python .ci/release_check.py $(ARGS)

format: $(VENV)/.dev-ready ## Format the code and sort the imports
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

pins: $(VENV)-pins/.ready ## Write requirements/*.txt anew from pyproject.toml and *.in (newest versions: UPGRADE=--upgrade)
	@for set in dev demo airflow-3.1 airflow-3.2 airflow-3.3 airflow-3.4 lowest; do \
	  how=; \
	  case $$set in \
	    dev) inputs="requirements/demo.in requirements/dev.in" ;; \
	    demo) inputs="requirements/demo.in --constraints requirements/dev.txt" ;; \
	    *) inputs="requirements/$$set.in" ;; \
	  esac; \
	  case $$set in \
	    airflow-3.4) how="--prerelease if-necessary-or-explicit" ;; \
	    lowest) how="--resolution lowest-direct --upgrade" ;; \
	  esac; \
	  $(VENV)-pins/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command "make pins" $(UPGRADE) $$how \
	    --extra sandbox pyproject.toml $$inputs --output-file requirements/$$set.txt || exit 1; \
	done
	@wc -l requirements/*.txt

clean: ## Remove what these targets have made
	rm -rf $(VENV) $(VENV)-pins $(OLDEST) build dist .demo .work .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find airflow_provider_graine demo example_dags tests -name __pycache__ -type d -prune -exec rm -rf {} +

%/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
	       "Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(SAY) "Creating $(@D) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(@D)
	@touch $@

# $(call install,<requirements file>): the pinned packages, byte-compiled, then this package as it lies here. The pins are
# constraints as well: before pip 23.3 they would not hold for a package that another one wants with an extra.
define install
	$(SAY) "Installing the $$(grep -c '==' $(1)) packages pinned in $(1); takes some minutes the first time"
	@$(@D)/bin/python $(PIP) install --require-hashes --requirement $(1) --constraint $(1)
	@$(@D)/bin/python $(PIP) install --no-deps --no-build-isolation --editable .
endef

$(VENV)/.demo-ready: requirements/demo.txt pyproject.toml | $(VENV)/.created
	$(call install,requirements/demo.txt)
	@touch $@

# What the demo needs is part of it.
$(VENV)/.dev-ready: requirements/dev.txt pyproject.toml | $(VENV)/.created
	$(call install,requirements/dev.txt)
	@touch $(VENV)/.demo-ready $@

$(OLDEST)/.ready: requirements/airflow-3.1.txt pyproject.toml | $(OLDEST)/.created
	$(call install,requirements/airflow-3.1.txt)
	@touch $@

$(VENV)-pins/.ready:
	@$(PYTHON) -m venv $(VENV)-pins
	@$(VENV)-pins/bin/python -m pip --disable-pip-version-check --quiet install uv
	@touch $@
