#!/usr/bin/env bash
# Step 2 in the form of the published code; further arguments go to tdctl.
# Writes <dataset>_<noise_ratio>_lstm_detector.pth.tar, the published name, in the current folder.
# TESTRUN=1 prints the command without running it.
#
# usage: train_detector.sh <dataset> <noise_ratio> <files_path> [<detector_to_fine_tune> [tdctl options]]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paper_form.sh"
need 3 "$@"
dataset=$1 noise_ratio=$2 files_path=$3 start=${4:-}
shift $(($# < 4 ? $# : 4))
tdctl train-detector --td "$files_path" ${start:+--init-from "$start"} \
  --out "${dataset}_${noise_ratio}_lstm_detector.pth.tar" "$@"
