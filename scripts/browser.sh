# Sourced by scripts/test after ensure: `browser` gets what the tests in a browser need, where it can
# be had: playwright from PyPI, Chromium from the system's packages, axe-core from npm. What cannot
# be had is said, and the tests that need it are skipped.

browser() {
  local python=.venv/bin/python axe=.venv/axe
  "$python" -c 'import playwright' 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check 'playwright>=1.49' ||
    echo "tests: playwright cannot be installed; tests in a browser are skipped" >&2
  if [ -z "${TDCTL_BROWSER:-}" ] && ! has_chromium; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      { apt-get update -qq && apt-get install -qq -y chromium; } >/dev/null 2>&1 || true
    fi
    has_chromium || echo "tests: there is no Chromium; tests in a browser are skipped (as root, or by hand: apt-get install chromium; TDCTL_BROWSER names another)" >&2
  fi
  if [ ! -f "$axe/axe.min.js" ] && [ -z "${TDCTL_AXE:-}" ]; then
    if ! get_axe "$axe"; then
      echo "tests: axe-core cannot be had from npm; the check of accessibility is skipped" >&2
    fi
  fi
}

has_chromium() {
  local name
  for name in chromium chromium-browser google-chrome chrome; do
    command -v "$name" >/dev/null && return
  done
  return 1
}

get_axe() {
  command -v npm >/dev/null || return 1
  local part
  part=$(mktemp -d) || return 1
  if (cd "$part" && npm pack axe-core@4 --silent >/dev/null 2>&1 && tar xzf axe-core-*.tgz package/axe.min.js); then
    mkdir -p "$1" && mv "$part/package/axe.min.js" "$1/axe.min.js"
  fi
  rm -rf "$part"
  [ -f "$1/axe.min.js" ]
}
