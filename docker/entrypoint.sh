#!/bin/sh
# A command of `stentor`, a program of a derived image, or else the batch container's arguments.
set -eu
# What the real-time container calls the streams that it takes at once.
if [ -n "${SM_MAX_CONCURRENT_CONNECTIONS:-}" ]; then
  export STENTOR_ENGINE__STREAMS_MAX="${STENTOR_ENGINE__STREAMS_MAX:-$SM_MAX_CONCURRENT_CONNECTIONS}"
fi
case "${1:-}" in
  serve | transcribe | listen | keys | jobs | certs | models) exec stentor "$@" ;;
  rt)
    shift
    # Kubernetes puts an address there.
    case "${STENTOR_PORT:-}" in "" | *://*) export STENTOR_PORT=9000 ;; esac
    exec stentor serve "$@"
    ;;
  transcriber) shift ;;
  pipeline) exec "$@" ;;
  /*) exec "$@" ;;
esac
exec stentor transcriber "$@"
