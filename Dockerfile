# The service in a container: `alerts run` on port 8025, state in /var/lib/alerts.
# docs/how-to/postgresql.md shows it with PostgreSQL; compose.yaml is that.
FROM python:3.13-slim AS build

WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY templates templates
COPY alerts alerts
# Everything has a wheel: no compiler here, and no pip in what is copied on.
RUN python -m venv --without-pip /opt/alerts \
 && pip --python /opt/alerts/bin/python install --no-cache-dir --only-binary=:all: --constraint constraints.txt .


FROM python:3.13-slim

RUN useradd --system --uid 10001 --home-dir /var/lib/alerts --create-home --shell /usr/sbin/nologin alerts
COPY --from=build /opt/alerts /opt/alerts

# The environment wins over config.toml: inside, the pages must be reached from outside of the container.
ENV PATH=/opt/alerts/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ALERTS_STATE_DIR=/var/lib/alerts \
    ALERTS_WEB__HOST=0.0.0.0 \
    ALERTS_WEB__PORT=8025

USER 10001
# ./config.toml is read when it is mounted here; everything can come from the environment instead.
WORKDIR /etc/alerts
VOLUME /var/lib/alerts
EXPOSE 8025

HEALTHCHECK --interval=10s --timeout=7s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8025/readyz', timeout=6)"]

ENTRYPOINT ["alerts"]
CMD ["run"]
