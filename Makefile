# One set of commands; CI runs the same words. `make help` lists them.
SHELL := /bin/sh
PYTHON ?= python3
TOOLS := .tools
VENV := .venv
UV := $(TOOLS)/bin/uv
RUN := $(VENV)/bin
SOURCES := api cli shared simulator worker
MEASURED := --cov --cov-report= --cov-fail-under=0
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Every process of ours would compile all that it imports: 3.8 s of CPU for the API instead of 1.7 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test clock fuzz audit pythons judges check lint types contracts console collected undated dated report screenshots format coverage clean docs site serve release

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "python 3.11 or newer is needed; name it with PYTHON=python3.11")'
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

$(VENV)/.runtime: uv.lock pyproject.toml | $(UV)
	@$(UV) sync --quiet --frozen --no-dev --group demo --inexact --python $(PYTHON)
	@touch $@

$(VENV)/.dev: uv.lock pyproject.toml | $(UV)
	@$(UV) sync --quiet --frozen --python $(PYTHON)
	@touch $@ $(VENV)/.runtime

$(VENV)/.site: $(VENV)/.dev
	@$(UV) sync --quiet --frozen --group docs --python $(PYTHON)
	@touch $@

tests/sdk_js/node_modules/.installed: tests/sdk_js/package.json tests/sdk_js/package-lock.json
	@cd tests/sdk_js && npm ci --silent --no-audit --no-fund
	@touch $@

setup: $(VENV)/.dev tests/sdk_js/node_modules/.installed  ## everything that tests need, in this folder

demo: $(VENV)/.runtime  ## the whole system in one minute: a long completion as a job
	@$(RUN)/finops demo

serve: $(VENV)/.runtime  ## API, worker, store and simulator on this machine
	@$(RUN)/finops serve --demo

test: setup  ## every test: real Redis, real SDKs, real processes; FAST=1: in a minute those that need no server
	@$(RUN)/pytest $(if $(FAST),-n logical --fast,-n 4)

clock: setup  ## the tests that know dates, on a leap day at midnight; AT="+400d 23:59:30", WHOLE=1: all tests
	@$(RUN)/python -m tests.clock $(if $(WHOLE),--whole) $(AT)

fuzz: setup  ## the parsers of callers' requests and providers' answers, for an hour; MINUTES=5
	@$(RUN)/python -m tests.security.fuzz $(or $(MINUTES),60)

audit: $(VENV)/.dev  ## known vulnerabilities of the locked packages
	@$(PYTHON) deploy/audit.py

pythons: setup  ## the wheel on every Python from 3.11 to 3.14 that is installed here
	@WHEEL_PYTHONS=installed $(RUN)/pytest tests/journeys/test_wheel.py

judges: setup  ## neutral judges: other people's tests and clients; ONE="langchain ...", RECORD=1
	@$(RUN)/python -m tests.judges $(ONE) $(if $(RECORD),--record)

lint: $(VENV)/.dev  ## formatting and rules
	@$(RUN)/ruff format --check $(SOURCES) tests bench
	@$(RUN)/ruff check $(SOURCES) tests bench

types: $(VENV)/.dev  ## mypy, strict
	@$(PATIENTLY) $(RUN)/mypy

console: tests/sdk_js/node_modules/.installed  ## types and rules of the console's scripts
	@tests/sdk_js/node_modules/.bin/tsc -p tests/browser/tsconfig.json
	@tests/sdk_js/node_modules/.bin/oxlint --quiet --deny-warnings console/app tests/sdk_js/*.mjs

contracts: $(VENV)/.dev  ## who may import whom
	@$(RUN)/lint-imports

coverage: collected  ## tests with branch coverage
	@$(MAKE) --no-print-directory -j 2 undated dated
	@$(MAKE) --no-print-directory report

undated: collected
	@rm -f .coverage .coverage.*
	@$(RUN)/pytest -n 3 --undated $(MEASURED)

# Beside the others, which wait for processes at first: one more worker takes the CPU that they leave.
dated: collected
	@rm -f .coverage_dated .coverage_dated.*
	@ran=$$(COVERAGE_FILE=.coverage_dated $(RUN)/python -m tests.clock --numprocesses=1 $(MEASURED) 2>&1) \
		&& echo "$$ran" || { echo "$$ran"; exit 1; }

report: $(VENV)/.dev
	@$(RUN)/coverage combine --quiet --append .coverage_dated
	@$(RUN)/coverage report

collected: setup  ## that every test is found; each of pytest's workers would compile the tests otherwise
	@found=$$($(RUN)/pytest --collect-only -qq 2>&1) || { echo "$$found" | tail -40; exit 1; }

# Types take one core for 40 s: of the time that tests leave, so that no test waits for them.
check:  ## what CI runs: the tests that know dates with a moved clock, beside the others
	@$(MAKE) --no-print-directory -j 5 PATIENTLY="nice -n 19" types lint contracts console undated dated
	@$(MAKE) --no-print-directory report

screenshots: setup  ## pictures of every page of the console in .screenshots/; PUBLISH=1: also those of the docs
	@$(RUN)/python -m tests.browser.screenshots $(if $(PUBLISH),--publish)

format: $(VENV)/.dev  ## put the code into shape
	@$(RUN)/ruff format $(SOURCES) tests bench
	@$(RUN)/ruff check --fix $(SOURCES) tests bench

docs: $(VENV)/.dev  ## the tables and pictures of the documentation, from the code
	@$(RUN)/python docs/tables.py
	@$(RUN)/python docs/spend.py

site: $(VENV)/.site docs  ## the documentation as a site in .site/, which also works from the file system
	@NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --quiet --strict

release: $(VENV)/.runtime  ## the wheel, built twice and compared, its bill of materials and notes, in dist/
	@$(RUN)/python deploy/release.py dist --uv $(UV)

clean:  ## forget environments and caches
	@rm -rf $(VENV) $(TOOLS) tests/sdk_js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
