#!/usr/bin/env bash
# Records the runs that the shipped detectors are trained on, and trains them. The runs show CIFAR-10
# and rendered characters. Most use the recipe detect, some use other trainings; all noise is
# synthetic. For builtin:paper it records one run of the paper's recipe. PARALLEL runs (2) are recorded
# at the same time, one thread each. An interrupted call continues when repeated.
#
# usage: scripts/experiments/builtin/train.sh <folder with train/> <labels.csv> [<work folder>]
#   labels.csv: file_name, label; a row for each image. The first 20,000 rows are kept for benchmarks.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../going_on.sh"
data=${1:?folder with train/} labels=${2:?label table} work=${3:-replication/builtin}
read -ra tdctl <<<"${TDCTL:-.venv/bin/tdctl}"
read -ra python <<<"${PYTHON:-.venv/bin/python}"
export OMP_NUM_THREADS=1
mkdir -p "$work"

block() { # name, first row, rows
  awk -F, -v a="$2" -v n="$3" 'NR == 1 { print "file_name,label,split" }
    NR > 1 + a && NR <= 1 + n + a { print $1 "," $2 ",train" }' "$labels" >"$work/$1.csv"
}

record() { # name, seed, recipe, settings...
  local name=$1 seed=$2 recipe=$3
  shift 3
  echo generate-td --recipe "$recipe" --quiet --seed "$seed" --out "$work/$name" \
    $(going_on "$work/$name") "$@"
}

rows() { # name, seed, first row, rows, recipe, settings...
  local name=$1 seed=$2 recipe=$5
  block "$name" "$3" "$4"
  shift 5
  record "$name" "$seed" "$recipe" --dataset table --data-dir "$data" --labels "$work/$name.csv" "$@"
}

photos() { # name, seed, block of images, settings...
  rows "$1" "$2" $((20000 + 4000 * $3)) 4000 detect "${@:4}"
}

characters() { # name, seed, recipe, folder, settings...
  record "$1" "$2" "$3" --dataset folder --data-dir "$work/$4" --no-flip "${@:5}"
}

render() { # folder, options of glyphs.py...
  [ -e "$work/$1" ] || "${python[@]}" -m scripts.experiments.glyphs "$work/$1" "${@:2}" >&2
}

recorded() { xargs -P "${PARALLEL:-2}" -L 1 "${tdctl[@]}"; }

# Noise from the confusions of a network. It is the closest to human errors without human labels.
photos uniform20 100 0 --noise-ratio 0.2 | recorded
for rate in 05 10 20; do
  [ -e "$work/confused$rate.npy" ] ||
    "${python[@]}" -m scripts.experiments.builtin.confusions "$work/uniform20" "0.$rate" "$work/confused$rate.npy"
done
# Easy images, and other numbers of classes. A detector that was trained on photographs alone was
# behind AUM on the digits of scikit-learn.
render plain --characters 0123456789 --each 200 --clutter 0.2
render greek --characters αβγδεζηθλμνξπρστφχψω --each 150 --seed 1
short=(--set train.epochs=30)
{
  photos confused20 101 1 --noise-type matrix --matrix "$work/confused20.npy"
  photos confused5 123 3 --noise-type matrix --matrix "$work/confused05.npy"
  photos confused12 126 6 --noise-type matrix --matrix "$work/confused10.npy"
  photos confused10 104 4 --noise-type matrix --matrix "$work/confused10.npy" "${short[@]}"
  photos flip30 103 3 --noise-type flip --noise-ratio 0.3 "${short[@]}"
  photos instance30 102 2 --noise-type instance --noise-ratio 0.3
  photos instance40 113 0 --noise-type instance --noise-ratio 0.4 "${short[@]}"
  photos pair30 101 1 --noise-type pair --noise-ratio 0.3 "${short[@]}"
  photos uniform40 105 5 --noise-ratio 0.4 "${short[@]}"
  photos uniform10 106 6 --noise-ratio 0.1
  photos brief20 103 3 --noise-ratio 0.2 --set train.epochs=10
  photos instance20 105 5 --noise-type instance --noise-ratio 0.2 "${short[@]}"
  characters plain20 110 detect plain --noise-ratio 0.2
  characters small30 111 detect plain --image-size 8 --noise-ratio 0.3
  characters greek20 112 detect greek --noise-type flip --noise-ratio 0.2 "${short[@]}"
  characters greek25 114 detect greek --noise-ratio 0.25 --set train.epochs=40
  photos brief30 130 2 --noise-ratio 0.3 --epochs 5
  photos briefflip 131 4 --noise-type flip --noise-ratio 0.2 --epochs 6
  # Other trainings: deeper networks; rates that drop, fall or stay constant, until the labels are
  # memorised.
  rows papers20 120 44000 3000 paper --noise-ratio 0.2
  rows step30 133 36000 4000 paper --depth 20 --noise-type flip --noise-ratio 0.2 --epochs 30
  rows step60 134 24000 2500 paper --depth 20 --noise-type instance --noise-ratio 0.3 --epochs 60
  rows constant40 135 40000 4000 aum --depth 14 --noise-type matrix \
    --matrix "$work/confused10.npy" --epochs 40
  characters greekstep 137 paper greek --depth 14 --epochs 24 --noise-ratio 0.2
  # The held-out run: it has images that no other run has.
  rows heldinst 132 48000 2000 detect --noise-type instance --noise-ratio 0.2 --epochs 30
} | recorded

# The last run is held out: it selects the epoch and the start. The detector is not trained on it.
runs=()
for name in uniform20 uniform40 uniform10 brief20 flip30 pair30 confused20 confused10 confused5 \
  confused12 instance30 instance40 instance20 plain20 small30 greek20 greek25 brief30 briefflip \
  papers20 step30 step60 constant40 greekstep heldinst; do
  runs+=(--td "$work/$name")
done
"${tdctl[@]}" train-detector "${runs[@]}" --detector-net gru --channels context --width 64 \
  --restarts 1 --seed 0 --out "$work/builtin" --overwrite --about "fifteen runs of the recipe detect \
on 4,000 CIFAR-10 images each (JPEG, by number 20,000 to 48,000 of the training images) and four on \
rendered digits and Greek letters; five of ResNets as others train them, on 2,500 to 4,000 of these \
images and on the letters; synthetic noise only"

"${tdctl[@]}" train-detector --td "$work/papers20" --seed 0 --out "$work/paper" --overwrite \
  --about "one run of the paper's recipe for 200 epochs, on 3,000 CIFAR-10 images (JPEG, by number \
44,000 to 47,000 of the training images); uniform noise"
