# Sourced by the other scripts: `ensure [test|docs|dev|bench]` makes .venv and installs the project into
# it, once for each state of pyproject.toml.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ensure() {
  local extra=${1:-} python=${PYTHON:-python3} stamp=.venv/.installed wanted have holds
  wanted=$(cksum <pyproject.toml)
  have=$(cat "$stamp" 2>/dev/null || true)
  # The stamp: a sum of pyproject.toml, and all that was installed for it.
  case "$have " in "$wanted"*" ${extra:-plain} "*) return ;; esac
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "tdctl needs Python 3.11 or newer; '$python' is not. Name one with PYTHON=..." >&2
    exit 1
  fi
  echo "installing tdctl${extra:+[$extra]} into .venv (torch is some GB; this can take minutes)" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}"
  .venv/bin/python -c 'import torchvision' || {
    echo "torch and torchvision in .venv do not match; remove .venv and try again" >&2
    exit 1
  }
  # dev holds test and docs, and each holds the plain installation.
  holds="plain${extra:+ $extra}"
  [ "$extra" != dev ] || holds="plain test docs dev"
  case "$have" in "$wanted "*) ;; *) have=$wanted ;; esac
  echo "$have $holds" >"$stamp"
}
