# The gateway as an image: docs/operations.md, "Container"; why so: docs/decisions/0029-the-container-image.md.
# For BuildKit and for the classic builder. Nothing is compiled: every requirement is a wheel that is known by its hash.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
# requirements/run.txt adds pyarrow, for exports as Parquet.
ARG REQUIREMENTS=requirements/image.txt
# Where pip finds packages, if not at pypi.org. Neither these nor cert.pem leave this stage.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG HTTP_PROXY
ARG HTTPS_PROXY
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt ${REQUIREMENTS} build/pip/cert.pe[m] requirements/
# Bytecode is believed without a look at its source: the root file system is read-only, and so is the source.
RUN if [ -e requirements/cert.pem ]; then export PIP_CERT=/build/requirements/cert.pem; fi \
    && python3 -m venv tools \
    && python3 -m venv --without-pip /opt/image-gateway \
    && install="install --quiet --require-hashes --only-binary :all: --no-compile" \
    && tools/bin/pip $install -r requirements/build.txt \
    && tools/bin/pip --python /opt/image-gateway/bin/python $install -r "${REQUIREMENTS}" \
    && /opt/image-gateway/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/image-gateway/lib
ARG SOURCE_DATE_EPOCH=1577836800
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY config config
RUN tools/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && tools/bin/pip --python /opt/image-gateway/bin/python install --quiet --no-deps --no-index --no-compile dist/*.whl \
    && /opt/image-gateway/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/image-gateway/lib/*/site-packages/service

FROM ${PYTHON_IMAGE}
# Official images bring the standard library without bytecode, which would be compiled at each start and each health
# check. And nothing in here can install anything.
RUN lib="$(python3 -c 'import os; print(os.path.dirname(os.__file__))')" \
    && rm -rf "$lib/ensurepip" "$lib"/site-packages/pip* /usr/local/bin/pip* /usr/share/python-wheels \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x '/(config-|idlelib|pydoc_data|site-packages|dist-packages|test|tkinter|turtledemo)' "$lib" \
    && install -d -o 10001 -g 10001 -m 700 /data
COPY --from=build /opt/image-gateway /opt/image-gateway
ENV PATH=/opt/image-gateway/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    DATA_DIR=/data
USER 10001:10001
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
# As a module, since the command line takes a second to import everything else.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["python", "-m", "service.commands.health"]
ENTRYPOINT ["image-gateway"]
CMD ["serve"]
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="image-gateway" \
    org.opencontainers.image.description="One OpenAI-compatible image API in front of several backends, with budgets that hold." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
