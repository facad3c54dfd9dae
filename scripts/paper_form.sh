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

# <root> <dataset> <net_type> <depth> <noise_ratio> <noise_type>
run_folder() {
  local name=$1/$2_$3$4
  # The large sets are wrong by nature; their folders name no noise.
  case $2 in
    webvision50 | clothing100k | folder) [ "$5" != 0 ] || { echo "$name"; return; } ;;
  esac
  echo "${name}_percmislabeled$5_$6"
}

data_flags() {
  [ "$2" = digits ] || echo "--data-dir $1"
}

# resnet 50 of the published large-set scripts is torchvision's; CIFAR depths are 6n+2.
net_flags() {
  case $1$2 in
    resnet18 | resnet34 | resnet50) echo "--net-type $1$2" ;;
    *) echo "--net-type $1 --depth $2" ;;
  esac
}

# A run of tdctl knows its data and network; one of the published code has to be told.
denoise_flags() {
  [ -e "$1/config.yaml" ] || echo "--dataset $3 $(data_flags "$2" "$3") $(net_flags "$4" "$5")"
}
