#!/usr/bin/env bash
# Finds the human label errors of CIFAR-10N with a detector that has seen only synthetic noise.
# Three commands: record, train the detector, rank. Writes replication/results/human_*.json. An
# interrupted call continues when repeated.
#
# usage: scripts/experiments/human_labels.sh <folder with train/ and test/> <labels.csv> [<work folder>]
#   folder: CIFAR-10 as image files, train/<class>/<five digits>.jpg
#   labels.csv: file_name, label (the original one), aggregate and random1 (human), a row for each image
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/going_on.sh"
data=${1:?folder with train/ and test/} labels=${2:?label table} work=${3:-replication/human_labels}
results=replication/results
read -ra tdctl <<<"${TDCTL:-.venv/bin/tdctl}"
mkdir -p "$work" "$results"
common=(--config configs/folder32.yaml --dataset cifar10 --data-dir "$data" --quiet)

# The detector is trained on a run with another seed, 20 % uniform noise, and no human label.
"${tdctl[@]}" generate-td "${common[@]}" --noise-ratio 0.2 --seed 2 --out "$work/uniform_seed2" \
  $(going_on "$work/uniform_seed2")
[ -e "$work/detector.pth.tar" ] ||
  "${tdctl[@]}" train-detector --td "$work/uniform_seed2" --seed 2 --out "$work/detector" --quiet

for seed in 0 1; do
  for column in aggregate random1; do
    run=$work/${column}_seed$seed
    # The column is checked against the data set's own labels before it is used.
    "${tdctl[@]}" generate-td "${common[@]}" --noise-type labels --labels "$labels" \
      --label-column "$column" --true-column label --seed $seed --out "$run" \
      $(going_on "$run")
    "${tdctl[@]}" detect --td "$run" --detector "$work/detector.pth.tar" --top 0 --json \
      >"$results/human_${column}_seed${seed}.json"
  done
done
