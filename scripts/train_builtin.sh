#!/usr/bin/env bash
# Records what the detector that ships is trained on, and trains it: ten runs of 4,000 CIFAR-10
# images each, of noise that is synthetic, and two of the digits. Goes on where it stopped when
# called again; PARALLEL runs at a time (2), a thread each.
#
# usage: scripts/train_builtin.sh <folder with train/> <labels.csv> [<work folder>]
#   labels.csv: file_name, label; a row an image. The first 20,000 rows are left to benchmarks.
set -euo pipefail
data=${1:?folder with train/} labels=${2:?label table} work=${3:-replication/builtin}
read -ra tdctl <<<"${TDCTL:-.venv/bin/tdctl}"
read -ra python <<<"${PYTHON:-.venv/bin/python}"
export OMP_NUM_THREADS=1
mkdir -p "$work"

block() { # name, first row
  awk -F, -v a="$2" 'NR == 1 { print "file_name,label,split" }
    NR > 1 + a && NR <= 4001 + a { print $1 "," $2 ",train" }' "$labels" >"$work/$1.csv"
}

record() { # name, block, settings...
  local name=$1 block=$2
  shift 2
  block "$name" $((20000 + 4000 * block))
  echo generate-td --dataset table --data-dir "$data" --labels "$work/$name.csv" --recipe detect \
    --resume --quiet --seed "$((100 + block))" --out "$work/$name" "$@"
}

recorded() { xargs -P "${PARALLEL:-2}" -L 1 "${tdctl[@]}"; }

record uniform20 0 --noise-ratio 0.2 | recorded
for rate in 10 20; do
  [ -e "$work/confused$rate.npy" ] ||
    "${python[@]}" scripts/confusions.py "$work/uniform20" "0.$rate" "$work/confused$rate.npy"
done
short=(--set train.epochs=30)
{
  record confused20 1 --noise-type matrix --matrix "$work/confused20.npy"
  record flip30 3 --noise-type flip --noise-ratio 0.3 "${short[@]}"
  record instance30 2 --noise-type instance --noise-ratio 0.3
  record pair30 1 --noise-type pair --noise-ratio 0.3 "${short[@]}"
  record confused10 4 --noise-type matrix --matrix "$work/confused10.npy" "${short[@]}"
  record uniform40 5 --noise-ratio 0.4 "${short[@]}"
  record uniform10 6 --noise-ratio 0.1
  record brief20 3 --noise-ratio 0.2 --set train.epochs=10
  record instance20 5 --noise-type instance --noise-ratio 0.2 "${short[@]}"
} | recorded

# The last run is held out: the epoch and the start are chosen on it. These are none of its rows
# in the detector that ships.
runs=()
for name in uniform20 uniform40 uniform10 brief20 flip30 pair30 confused20 confused10 instance30 \
  instance20; do
  runs+=(--td "$work/$name")
done
"${tdctl[@]}" train-detector "${runs[@]}" --detector-net gru --channels context --seed 0 \
  --out "$work/builtin" --overwrite
