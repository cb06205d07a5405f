#!/bin/sh
# What derived images call once their audio is at /input.audio.
exec stentor transcriber "$@"
