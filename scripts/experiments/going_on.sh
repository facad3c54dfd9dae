#!/usr/bin/env bash
# For scripts that are called again to go on where they stopped; sourced by them.

# --resume where a run has begun in a folder, nothing where it is to begin.
going_on() { # folder
  [ ! -e "$1/manifest.json" ] || echo --resume
}
