# The gateway: api, worker and simulator are commands of one image. Two stages, so that uv and caches stay behind.
# `deploy/pin_images.sh` prints these with their digests, for compose.yaml to pass on.
ARG PYTHON_IMAGE=python:3.13-slim
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.9

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build

COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/finops
WORKDIR /src

# Dependencies first: they change less often than we do.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --all-extras --no-extra semantic --no-install-project

COPY api ./api
COPY cli ./cli
COPY console ./console
COPY shared ./shared
COPY simulator ./simulator
COPY worker ./worker
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --all-extras --no-extra semantic --no-editable

FROM ${PYTHON_IMAGE}

RUN groupadd --system --gid 10001 finops \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/finops finops
COPY --from=build /opt/finops /opt/finops
ENV PATH=/opt/finops/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FINOPS_DATA_DIR=/var/lib/finops/data
WORKDIR /var/lib/finops
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 10001:10001
VOLUME /var/lib/finops

EXPOSE 8080
# Running calls and jobs end, or go back to the queue, on SIGTERM.
STOPSIGNAL SIGTERM
CMD ["finops", "api", "--host", "0.0.0.0", "--port", "8080"]
