#!/usr/bin/env bash
# In-loop against eval-pass capture: the same trainings recorded in both ways, for several kinds of
# noise and lengths. Then scripts/experiments/capture.py judges them. An interrupted call continues
# when repeated.
#
# usage: scripts/experiments/capture.sh <folder with train/> <labels.csv> [<work folder>]
#   labels.csv: file_name, label (true) and aggregate (human), a row for each training image
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/going_on.sh"
data=${1:?folder with train/} labels=${2:?label table} work=${3:-replication/capture}
tdctl=${TDCTL:-.venv/bin/tdctl}
mkdir -p "$work"
human=(--labels "$labels" --label-column aggregate --true-column label)

for epochs in 10 30; do
  for noise in uniform0.2 uniform0.4 flip0.2 human; do
    case $noise in
      human) what=("${human[@]}") ;;
      *) what=(--noise-type "${noise%%0*}" --noise-ratio "0${noise#*0}") ;;
    esac
    for capture in in-loop eval-pass; do
      $tdctl generate-td --config configs/folder32.yaml --data-dir "$data" "${what[@]}" \
        --set data.limit=4000 --epochs $epochs --set train.eval_every=$epochs --capture $capture \
        --quiet --out "$work/${noise}_${epochs}_$capture" \
        $(going_on "$work/${noise}_${epochs}_$capture")
    done
  done
  # A run of another seed. The detector that judges all other runs is trained on it.
  for capture in in-loop eval-pass; do
    $tdctl generate-td --config configs/folder32.yaml --data-dir "$data" --noise-ratio 0.2 \
      --set data.limit=4000 --epochs $epochs --set train.eval_every=$epochs --capture $capture --seed 1 \
      --quiet --out "$work/sibling_${epochs}_$capture" \
      $(going_on "$work/sibling_${epochs}_$capture")
    detector=$work/detector_${epochs}_$capture
    [ -e "$detector.pth.tar" ] ||
      $tdctl train-detector --td "$work/sibling_${epochs}_$capture" --out "$detector" --quiet
  done
done
.venv/bin/python -m scripts.experiments.capture "$work"
