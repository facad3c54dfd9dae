#!/usr/bin/env bash
# The three steps on 10,000 photographs: two seeds, uniform noise and human label errors.
# Writes replication/results/photographs_*.json. An interrupted call continues when repeated.
#
# usage: scripts/experiments/photographs.sh <folder with train/ and test/> <labels.csv> [<work folder>]
#   labels.csv: file_name, label (true) and aggregate (human), a row for each training image
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/going_on.sh"
data=${1:?folder with train/ and test/} labels=${2:?label table} work=${3:-replication/photographs}
results=replication/results
tdctl=${TDCTL:-.venv/bin/tdctl}
mkdir -p "$work" "$results"
human=(--labels "$labels" --label-column aggregate --true-column label)
common=(--config configs/folder32.yaml --data-dir "$data" --quiet)

for seed in 0 1; do
  uniform=$work/uniform_seed$seed aggregate=$work/aggregate_seed$seed
  "$tdctl" generate-td "${common[@]}" --noise-ratio 0.2 --seed $seed --out "$uniform" \
    $(going_on "$uniform")
  "$tdctl" generate-td "${common[@]}" "${human[@]}" --seed $seed --out "$aggregate" \
    $(going_on "$aggregate")
  detector=$work/detector$seed
  [ -e "$detector.pth.tar" ] ||
    "$tdctl" train-detector --td "$work/uniform_seed$seed" --seed $seed --out "$detector" --quiet
done

# Each run is judged by the detector of the other seed, which has not seen it.
for seed in 0 1; do
  detector=$work/detector$((1 - seed)).pth.tar
  for labels_of in uniform:0.2 aggregate:0.09; do
    run=$work/${labels_of%:*}_seed$seed
    "$tdctl" denoise --td "$run" --detector "$detector" --remove-ratio "${labels_of#*:}" \
      --config configs/folder32.yaml --baselines --quiet --out "${run}_retrained" \
      $(going_on "${run}_retrained/baseline_all")
    "$tdctl" detect --td "$run" --detector "$detector" --top 0 --json \
      >"$results/photographs_${labels_of%:*}_seed${seed}_detect.json"
    cp "${run}_retrained/detector_detector$((1 - seed))/denoise.json" \
      "$results/photographs_${labels_of%:*}_seed${seed}_denoise.json"
  done
done
