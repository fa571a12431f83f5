# One image for all roles; the command names the role: gateway (the default), node, worker, or serve.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gateway gateway
COPY s3compat s3compat
COPY storagenode storagenode
RUN python -m venv /opt/cairn \
    && /opt/cairn/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim
RUN groupadd --system --gid 10001 cairn \
    && useradd --system --uid 10001 --gid cairn --no-create-home --home-dir /data cairn \
    && install --directory --owner cairn --group cairn --mode 0700 /data
COPY --from=build /opt/cairn /opt/cairn
ENV PATH=/opt/cairn/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BASE_STORAGE_PATH=/data \
    CAIRN_HOST=0.0.0.0 \
    CAIRN_PORT=8000 \
    CAIRN_NODE_HOST=0.0.0.0 \
    CAIRN_NODE_PORT=9000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["cairn"]
CMD ["gateway"]
