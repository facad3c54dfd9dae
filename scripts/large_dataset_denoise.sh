#!/usr/bin/env bash
# Step 3 for large sets whose labels are wrong by nature, in the form of the published code;
# further arguments go to tdctl. TESTRUN=1 prints the command without running it. NET_TYPE and
# DEPTH name another network than the published resnet 50.
#
# usage: large_dataset_denoise.sh <datadir> <dataset> <seed> <result_save_path> <detector_file> \
#            <remove_ratio> [tdctl options]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paper_form.sh"
need 6 "$@"
datadir=$1 dataset=$2 seed=$3 root=$4 detector=$5 remove_ratio=$6
shift 6
name_net "${NET_TYPE:-resnet}" "${DEPTH:-50}"
name_data "$datadir" "$dataset"
folder=$(run_folder "$root" "$dataset" 0 uniform)
td=$folder/computation4td_seed$seed
name_denoise "$td"
tdctl denoise --td "$td" "${denoise_flags[@]}" --detector "$detector" \
  --remove-ratio "$remove_ratio" --set retrain.lr_drops=0.33,0.67 --out "$folder/prune4retrain_seed$seed" "$@"
