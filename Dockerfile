# The batch container and the server in one image.
#
#   docker build -t stentor --build-arg MODEL=small .
#   docker run -i stentor < talk.mp3 > talk.json               the contract of `stentor transcriber`
#   docker run -p 8000:8000 -e STENTOR_KEYS=$KEY stentor serve            the server
#   docker run -p 9000:9000 -e STENTOR_KEYS=$KEY stentor rt               the same at port 9000
#
# It needs no privileges, no network and no place to write but a tmpfs:
#   docker run -i --read-only --tmpfs /home/smuser --user 1234:1234 --network none stentor < talk.mp3

FROM python:3.11-slim-bookworm AS build
# Wheels of torch for the CPU alone; empty takes PyPI's, which bring CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# A size of Whisper or an id on the hub; `none` where a folder is mounted at /models/default.
ARG MODEL=base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md ./
COPY streaming streaming
COPY batch batch
COPY server server
COPY clients clients
# Compiled here: a read-only root has no place for it later, and starts would take twice as long.
RUN python -m venv /opt/stentor \
 && /opt/stentor/bin/pip install --extra-index-url "${TORCH_INDEX}" . \
 && /opt/stentor/bin/python -m compileall -q -j 0 -x /torch/testing/ /opt/stentor/lib
# Under its own name, which says what it can do: not every one translates.
RUN mkdir /models \
 && if [ "${MODEL}" = none ]; then \
      mkdir /models/default; \
    else \
      folder="$(HF_HOME=/tmp/hub /opt/stentor/bin/stentor models pull "${MODEL}")" \
      && mkdir "/models/${MODEL##*/}" \
      && cp -L "${folder}"/* "/models/${MODEL##*/}" \
      && ln -s "${MODEL##*/}" /models/default; \
    fi \
 && rm -rf /tmp/hub

FROM python:3.11-slim-bookworm
COPY --from=build /opt/stentor /opt/stentor
COPY --from=build /models /models
COPY docker/entrypoint.sh /usr/local/bin/entrypoint.sh
COPY docker/pipeline.sh /usr/local/bin/pipeline
# Any user may run it, named in /etc/passwd or not.
RUN groupadd --gid 1000 smuser \
 && useradd --uid 1000 --gid 1000 --create-home smuser \
 && mkdir -p /home/smuser/work /opt/orchestrator \
 && chmod 1777 /home/smuser /home/smuser/work \
 && chmod 755 /usr/local/bin/entrypoint.sh /usr/local/bin/pipeline
ENV PATH=/opt/stentor/bin:$PATH \
    HOME=/home/smuser \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STENTOR_MODEL=/models/default \
    STENTOR_HOST=0.0.0.0 \
    HF_HUB_OFFLINE=1
USER 1000:1000
WORKDIR /opt/orchestrator
# 8000 is the server's, 9000 that of `rt`, 18000 the worker's.
EXPOSE 8000 9000 18000
ENTRYPOINT ["entrypoint.sh"]
