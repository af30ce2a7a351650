# The image of rtchat: `rtchat serve` by default, and every other command (`migrate`, `doctor`, …).
#   docker build -t rtchat .
# A push of a changed version rebuilds all below it; tests/deploy/clean_root.py runs these very steps
# without Docker. Dependabot keeps the base's tag fresh; `.ci/relock` makes the locks anew, and
# relock.yml each week.

FROM python:3.13.14-slim-bookworm AS base
# Python's own library comes without bytecode, and nobody may write it at run time: without this,
# every start and every health check compiles what it imports. What it is made from does not change
# any more, so it is not looked at.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" -x '/site-packages/'


FROM base AS build
WORKDIR /src
# One environment makes the wheel and is left behind; the other one is the image's and has no pip.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/rtchat
# Seldom changed, so first. Wheels only: where there is none for a platform, this fails instead of
# asking for a compiler. Without their hashes no file is taken.
COPY .ci/build.lock .ci/requirements.lock .ci/
RUN /opt/build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
      -r .ci/build.lock \
 && /opt/build/bin/pip --python /opt/rtchat/bin/python install --no-cache-dir --no-compile \
      --only-binary :all: --require-hashes -r .ci/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY rtchat rtchat
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /opt/build/wheel . \
 && /opt/build/bin/pip --python /opt/rtchat/bin/python install --no-cache-dir --no-compile --no-index \
      --no-deps /opt/build/wheel/*.whl \
 && /opt/rtchat/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/rtchat/lib


FROM base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rtchat" \
      org.opencontainers.image.description="A realtime chat server: every acknowledged message stored, ordered and delivered." \
      org.opencontainers.image.licenses="MIT AND Apache-2.0 AND BSD-3-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A name for the number, for `ps` and for libraries that ask for a home; no shell, no home.
RUN groupadd --gid 10001 rtchat \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin rtchat
COPY --from=build /opt/rtchat /opt/rtchat
ENV PATH="/opt/rtchat/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RTCHAT_HOST=0.0.0.0 \
    RTCHAT_PORT=8000 \
    RTCHAT_INTERNAL_PORT=8001 \
    RTCHAT_LOG_FORMAT=json
# A number, so that Kubernetes' runAsNonRoot can see that it is not root's.
USER 10001:10001
WORKDIR /
# 8000 for clients, 8001 for operators alone (/metrics, /internal/drain): do not publish that one.
EXPOSE 8000 8001
# Whether the event loop turns; no store is asked, or one outage would mark all pods. Not through a
# proxy that the environment may name.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['RTCHAT_PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
# Process 1, by no shell: SIGTERM drains it, and it ends within RTCHAT_SHUTDOWN_S (28 s); give it 35.
ENTRYPOINT ["rtchat"]
CMD ["serve"]
