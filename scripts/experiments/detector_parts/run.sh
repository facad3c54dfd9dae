#!/usr/bin/env bash
# What each part of the shipped detector adds. Trains detectors that lack a part on four runs of
# scripts/experiments/builtin/train.sh (a fifth selects the epoch), one start for each of two seeds.
# Judges them on six runs of scripts/experiments/finding that none has seen. Then tries to adapt the
# shipped detector to those runs. Stores the figures of each step in OUT. An interrupted call
# continues when repeated.
#
# usage: scripts/experiments/detector_parts/run.sh <builtin's work folder> <finding's work folder> [<OUT>]
set -euo pipefail
builtin=${1:?work folder of builtin/train.sh} finding=${2:?work folder of scripts/experiments/finding}
out=${3:-replication/results}
read -ra python <<<"${PYTHON:-.venv/bin/python}"
mkdir -p "$out"

train=() judged=()
for run in uniform20 confused10 flip30 pair30 instance20; do train+=("$builtin/$run"); done
for row in uniform0.2 flip0.3 pair0.3 instance0.3 aggregate random1; do
  judged+=("$finding/${row}_seed0_60_ours")
done

step() { # name of the figures, options...
  local file=$out/readers_$1.json
  shift
  [ -e "$file" ] || "${python[@]}" -m scripts.experiments.detector_parts.networks "$@" --set restarts=1 --seeds 0,1 \
    --out "$file" "${train[@]}" -- "${judged[@]}"
}

step lstm --nets lstm --channels given,context
step gru --nets gru --channels given,values,most,context
step tcn --nets tcn --channels context
step no_ranking_loss --nets gru --channels context --set ranking=0
step no_augmentation --nets gru --channels context --set augment=false
"${python[@]}" -m scripts.experiments.detector_parts.adaptation --out "$out/adaptation.json" "$finding"/*_seed[01]_60_ours
