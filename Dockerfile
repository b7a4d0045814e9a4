# syntax=docker/dockerfile:1
# Two stages: what builds stays behind. The image holds an interpreter, the locked requirements
# of the service and our wheel; it runs as nobody in particular, on a read-only root if you like.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/service.lock requirements/build.lock requirements/page.lock requirements/unpack_page.py requirements/
RUN python -m venv /opt/processor \
 && /opt/processor/bin/pip install --require-hashes -r requirements/service.lock \
 && pip install --require-hashes -r requirements/build.lock \
 && pip download --no-deps --require-hashes --dest page -r requirements/page.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY schema schema
COPY src src
RUN python requirements/unpack_page.py page/*.whl src/processor/adapters/websocket/page/vendor \
 && pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/processor/bin/pip install --no-deps dist/*.whl \
 && /opt/processor/bin/pip uninstall --yes pip

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="processor" \
      org.opencontainers.image.description="Positions from a Redis Stream to TimescaleDB, exactly once" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin processor
COPY --from=build /opt/processor /opt/processor
ENV PATH=/opt/processor/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8081 9090
STOPSIGNAL SIGTERM
# /healthz answers while the event loop turns, whatever Redis and PostgreSQL do. Whoever moves
# METRICS_PORT moves this with it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", \
  "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('METRICS_PORT', '9090')}/healthz\", timeout=2)"]
# Exec form: signals reach processor itself. SIGTERM is answered within SHUTDOWN_TIMEOUT_MS (20 s);
# grant it 30 s (docker stop -t 30, stop_grace_period, terminationGracePeriodSeconds).
ENTRYPOINT ["processor"]
CMD ["run"]
