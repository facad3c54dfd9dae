#!/usr/bin/env bash
# Retrains for several remove ratios, each skipped where it is done, and prints one table; the
# table also lies as denoise.csv and denoise.json in the detector's folder.
# Without --out the retrainings go to <run folder>_retrained.
#
# usage: sweep.sh <run folder> <detector_file> <remove_ratio> [<remove_ratio> ...] [-- tdctl options]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paper_form.sh"
need 3 "$@"
td=$1 detector=$2
shift 2
ratios=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  ratios+=("$1")
  shift
done
[ $# -eq 0 ] || shift
# Where the retrainings go: as the options say, else beside the run.
out=
options=("$@")
for i in "${!options[@]}"; do
  case ${options[i]} in
    --out) out=${options[i + 1]:-} ;;
    --out=*) out=${options[i]#--out=} ;;
  esac
done
if [ -z "$out" ]; then
  out=${td%/}_retrained
  set -- "$@" --out "$out"
fi

# --resume where a retraining has begun.
going_on() {
  { compgen -G "$out/*/manifest.json" || compgen -G "$out/*/*/manifest.json"; } >/dev/null || return 0
  echo --resume
}

all=()
for ratio in "${ratios[@]}"; do
  # Each ratio's own report is dropped: the last call prints them all.
  [ -n "${TESTRUN:-}" ] && report=/dev/stdout || report=/dev/null
  tdctl denoise --td "$td" --detector "$detector" --remove-ratio "$ratio" $(going_on) "$@" \
    >"$report"
  all+=(--remove-ratio "$ratio")
done
tdctl denoise --td "$td" --detector "$detector" "${all[@]}" $(going_on) "$@"
