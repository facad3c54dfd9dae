#!/usr/bin/env bash
# Step 3 for sets with synthetic noise, in the form of the published code; further arguments go
# to tdctl. TESTRUN=1 prints the command without running it. NET_TYPE and DEPTH name another
# network than the published resnet 32.
#
# usage: small_dataset_sym_denoise.sh <datadir> <dataset> <seed> <noise_ratio> <noise_type> \
#            <result_save_path> <detector_file> <remove_ratio> [tdctl options]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paper_form.sh"
need 8 "$@"
datadir=$1 dataset=$2 seed=$3 noise_ratio=$4 noise_type=$5 root=$6 detector=$7 remove_ratio=$8
shift 8
name_net "${NET_TYPE:-resnet}" "${DEPTH:-32}"
name_data "$datadir" "$dataset"
folder=$(run_folder "$root" "$dataset" "$noise_ratio" "$noise_type")
td=$folder/computation4td_seed$seed
name_denoise "$td"
tdctl denoise --td "$td" "${denoise_flags[@]}" --detector "$detector" \
  --remove-ratio "$remove_ratio" --out "$folder/prune4retrain_seed$seed" "$@"
