#!/usr/bin/env bash
# What a detector gains if the curves of a network that has not seen the label are recorded too. It
# records four runs of 2,000 images. It
# trains a GRU with and without these channels on three of them (the fourth selects the epoch), one
# start for each of two seeds. It judges both on runs of the benchmark, recorded with
# --lengths 20 --seeds 0 --kinds cross-fold --rows uniform0.2,flip0.3,aggregate
# An interrupted call continues when repeated.
#
# usage: scripts/experiments/detector_parts/recorded.sh <folder with train/> <labels.csv> \
#            <finding's work folder> [<OUT>]
#   labels.csv: file_name, label; a row for each image. The first 20,000 rows are kept for benchmarks.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../going_on.sh"
data=${1:?folder with train/} labels=${2:?label table} finding=${3:?work folder of scripts/experiments/finding}
out=${4:-replication/results}
read -ra tdctl <<<"${TDCTL:-.venv/bin/tdctl}"
read -ra python <<<"${PYTHON:-.venv/bin/python}"
export OMP_NUM_THREADS=1
mkdir -p "$finding/more" "$out"

record() { # recipe, epochs, number, noise, ratio
  local name=$finding/more/$1_$4$5 first=$((20000 + 2000 * $3))
  awk -F, -v a="$first" 'NR == 1 { print "file_name,label,split" }
    NR > 1 + a && NR <= 2001 + a { print $1 "," $2 ",train" }' "$labels" >"$name.csv"
  "${tdctl[@]}" generate-td --recipe "$1" --epochs "$2" --seed "$3" --quiet --out "$name" $(going_on "$name") \
    --dataset table --data-dir "$data" --labels "$name.csv" --noise-type "$4" --noise-ratio "$5"
}

compared() { # recipe, epochs, channels
  local train=() judged=() name noise number=0
  for noise in "uniform 0.2" "flip 0.3" "instance 0.3" "instance 0.2"; do
    # shellcheck disable=SC2086
    record "$1" "$2" "$number" $noise
    train+=("$finding/more/$1_${noise/ /}")
    number=$((number + 1))
  done
  for name in uniform0.2 flip0.3 aggregate; do judged+=("$finding/${name}_seed0_20_$1"); done
  [ -e "$out/readers_$1.json" ] || "${python[@]}" -m scripts.experiments.detector_parts.networks --nets gru \
    --channels "most,$3" --set restarts=1 --seeds 0,1 --out "$out/readers_$1.json" \
    "${train[@]}" -- "${judged[@]}"
}

compared cross-fold 11 cross
