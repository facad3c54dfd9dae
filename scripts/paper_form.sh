# Sourced by the scripts in the published code's form: folder names, and flags for tdctl.

# The command itself, printed first; with TESTRUN only printed.
tdctl() {
  local program
  program=${TDCTL:-$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/tdctl}
  printf '%q ' tdctl "$@"
  echo
  [ -n "${TESTRUN:-}" ] || "$program" "$@"
}

need() {
  local count=$1
  shift
  if [ $# -lt "$count" ]; then
    sed -n '/^# usage:/,/^[^#]/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
  fi
}

# The published resnet 18, 34 and 50 are torchvision's; the depths of CIFAR-style nets are 6n+2.
# Sets `net` to the name of network and depth, and `net_flags`.
name_net() {
  case $1$2 in
    resnet18 | resnet34 | resnet50) net=$1$2 net_flags=(--net-type "$1$2") ;;
    resnet1818 | resnet3434 | resnet5050) net=$1 net_flags=(--net-type "$1") ;;
    *) net=$1$2 net_flags=(--net-type "$1" --depth "$2") ;;
  esac
}

# Sets `data_flags` from <datadir> <dataset>.
name_data() {
  data_flags=(--dataset "$2")
  [ "$2" = digits ] || data_flags+=(--data-dir "$1")
}

# The folder of <root> <dataset> <noise_ratio> <noise_type>. The large sets are wrong by nature,
# and their folders name no noise.
run_folder() {
  case $2 in
    webvision50 | clothing100k) echo "$1/$2_$net" ;;
    *) echo "$1/$2_${net}_percmislabeled$3_$4" ;;
  esac
}

# A run of tdctl knows its data and network; one of the published code has to be told. Sets
# `denoise_flags` from <run folder>.
name_denoise() {
  denoise_flags=()
  [ -e "$1/config.yaml" ] || denoise_flags=("${data_flags[@]}" "${net_flags[@]}")
}
