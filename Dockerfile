# One image for every process of the platform: code server, webserver, daemon, migration.

FROM python:3.12.12-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# The pinned packages first: a change of the code alone leaves this layer as it is.
COPY requirements/run.txt requirements/run.txt
RUN pip install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY crypto_platform crypto_platform
RUN pip install --no-build-isolation --no-deps .

FROM python:3.12.12-slim-trixie
RUN groupadd --gid 10001 crypto \
  && useradd --uid 10001 --gid crypto --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin crypto \
  # Volumes take over the owner of the folder they are mounted on.
  && install -d -o crypto -g crypto \
    /var/lib/crypto_platform /var/lib/crypto_platform/dagster /var/lib/crypto_platform/reports \
    # Dagster makes a folder or two beside its configuration.
    /opt/dagster
COPY --from=build /opt/venv /opt/venv
COPY dagster.yaml /opt/dagster/dagster.yaml
COPY deploy/workspace.yaml /opt/dagster/workspace.yaml
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/opt/dagster \
    CRYPTO_PLATFORM_HOME=/var/lib/crypto_platform
WORKDIR /var/lib/crypto_platform
USER 10001:10001
EXPOSE 4000
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "4000", "--module-name", "crypto_platform.definitions"]
# The image's own process is the code server; docker-compose.yml gives the others their own checks.
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s --retries=3 \
  CMD ["dagster", "api", "grpc-health-check", "--port", "4000"]
