#!/bin/sh
# A command of `stentor`, a program of a derived image, or else the batch container's arguments.
set -eu
case "${1:-}" in
  serve | transcribe | listen | jobs | models) exec stentor "$@" ;;
  transcriber) shift ;;
  pipeline) exec "$@" ;;
  /*) exec "$@" ;;
esac
exec stentor transcriber "$@"
