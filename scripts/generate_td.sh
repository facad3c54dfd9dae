#!/usr/bin/env bash
# Step 1 in the form of the published code; further arguments go to tdctl.
# TESTRUN=1 prints the command without running it.
#
# usage: generate_td.sh <datadir> <dataset> <seed> <noise_ratio> <noise_type> <net_type> <depth> \
#            [<result_save_path> [tdctl options]]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paper_form.sh"
need 7 "$@"
datadir=$1 dataset=$2 seed=$3 noise_ratio=$4 noise_type=$5 net_type=$6 depth=$7
root=${8:-replication}
shift $(($# < 8 ? $# : 8))
name_net "$net_type" "$depth"
name_data "$datadir" "$dataset"
folder=$(run_folder "$root" "$dataset" "$noise_ratio" "$noise_type")
tdctl generate-td "${data_flags[@]}" --seed "$seed" \
  --noise-ratio "$noise_ratio" --noise-type "$noise_type" "${net_flags[@]}" --recipe paper \
  --out "$folder/computation4td_seed$seed" "$@"
