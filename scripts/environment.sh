# shellcheck shell=bash
# The private environment of this checkout, .venv: made, filled and kept up to date.
# Sourced by `run` and `test`, which set `root` (this checkout) before.
#
# .venv/.palaver says what is in it, one line per purpose: `run <digest>` for what the server needs,
# `dev <digest>` for what the tests need on top. A digest covers the lock, pyproject.toml, the build
# hook and the place of the checkout: a change of any of them installs again, over what is there.

# Where nothing may keep compiled modules, every start of a server compiles all of them: seconds each time.
unset PYTHONDONTWRITEBYTECODE

venv=$root/.venv
stamp=$venv/.palaver
log=$venv/install.log

say() { printf 'palaver: %s\n' "$*" >&2; }

stop() {
  say "$@"
  exit 1
}

digest() { # of the files named and the place of the checkout
  { printf '%s\n' "$root"; cat "$@"; } |
    { sha256sum 2>/dev/null || shasum -a 256; } | cut -c 1-64
}

digest_of_run() {
  digest "$root/requirements.lock" "$root/requirements-build.lock" \
    "$root/pyproject.toml" "$root/hatch_build.py"
}

digest_of_dev() { digest "$root/requirements-dev.lock" "$root/pyproject.toml" "$root/hatch_build.py"; }

has() { [[ -f $stamp ]] && grep -qxF "$1" "$stamp" && [[ -x $venv/bin/python ]]; }

is_python() { # 3.11 or later, and running at all
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local name
  if [[ -n ${PALAVER_PYTHON:-} ]]; then
    is_python "$PALAVER_PYTHON" || return 1
    printf '%s\n' "$PALAVER_PYTHON"
    return
  fi
  # First the releases that every locked package has wheels for, then whatever is there.
  for name in python3.13 python3.12 python3.11 python3.14 python3 python; do
    if command -v "$name" >/dev/null 2>&1 && is_python "$name"; then
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

make_venv() {
  if [[ -e $venv ]]; then
    is_python "$venv/bin/python" && return
    say "the environment in .venv no longer runs, it is made again"
    rm -rf "$venv"
  fi
  local python
  if ! python=$(find_python); then
    [[ -z ${PALAVER_PYTHON:-} ]] ||
      stop "PALAVER_PYTHON names $PALAVER_PYTHON, which is no Python 3.11 or later."
    if command -v uv >/dev/null 2>&1; then
      say "there is no Python 3.11 or later here, uv gets one …"
      uv venv --quiet --python '>=3.11,<3.15' "$venv" ||
        stop "uv could not get a Python. Install Python 3.11 or later and start again."
      return
    fi
    stop "Python 3.11 or later is needed and was not found. Install it (for instance" \
      "'apt install python3 python3-venv' or 'brew install python'), or name one:" \
      "PALAVER_PYTHON=/path/to/python3.12 ./run"
  fi
  say "making a private environment in .venv with $("$python" --version) …"
  if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --python "$python" "$venv" || stop "uv could not make $venv."
  else
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
      stop "This Python has no venv module. On Debian and Ubuntu: 'apt install python3-venv'." \
        "Anywhere: install uv, which needs no such module. Then start again."
    "$python" -m venv "$venv" || {
      rm -rf "$venv"
      stop "the environment could not be made in $venv (see above)."
    }
  fi
}

install() { # what `pip install` takes; what it says goes to the log
  if command -v uv >/dev/null 2>&1; then
    uv pip install --no-progress --python "$venv/bin/python" "$@" 2>&1 | logged
  else
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
      "$venv/bin/python" -m ensurepip >>"$log" 2>&1 ||
      stop "there is no pip in .venv. Remove the folder $venv and start again."
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile --no-input \
      --progress-bar off "$@" 2>&1 | logged
  fi
}

logged() { # standard input to the log, and to a terminal how many packages came
  local line count=0
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    case $line in
      Collecting\ * | Processing\ * | " + "*) count=$((count + 1)) ;;
      *) continue ;;
    esac
    if [[ -t 2 ]]; then printf '\rpalaver: packages so far: %d ' "$count" >&2; fi
  done
  if [[ -t 2 && $count -gt 0 ]]; then printf '\r\033[K' >&2; fi
}

failed() { # what could not be done, and what to do about it
  tail -n 3 "$log" >&2
  stop "$@" "All that was said is in $log."
}

could_not_install() {
  failed "the packages could not be installed. Is there a network? Behind a proxy set" \
    "HTTPS_PROXY, for a registry of your own PIP_INDEX_URL (or UV_INDEX_URL). Starting again" \
    "goes on from here."
}

# What builds the package comes from its own lock into a folder beside the environment's packages:
# nothing is fetched unchecked, and nothing of it is left in the server's way.
install_build_tools() {
  "$venv/bin/python" -c 'import hatchling' >/dev/null 2>&1 && return
  rm -rf "$venv/build"
  install --require-hashes --target "$venv/build" -r "$root/requirements-build.lock" ||
    could_not_install
}

install_palaver() {
  PYTHONPATH=$venv/build install --no-build-isolation --no-deps --editable "$root" ||
    failed "Palaver itself could not be installed."
}

ensure() { # run | dev
  local wanted
  wanted="$1 $("digest_of_$1")"
  has "$wanted" && return
  command -v "$venv/bin/python" >/dev/null 2>&1 || say "the first start takes some minutes"
  make_venv
  # Not installed until everything is: an interrupted start begins again.
  rm -f "$stamp"
  : >"$log"
  say "installing the locked packages …"
  if [[ $1 == dev ]]; then
    install --require-hashes -r "$root/requirements-dev.lock" || could_not_install
  else
    install --require-hashes -r "$root/requirements.lock" || could_not_install
  fi
  install_build_tools
  ensure_page # before the package, whose build would do it without a word
  install_palaver
  {
    printf '%s\n' "$wanted"
    # What the tests need holds what the server needs.
    if [[ $1 == dev ]]; then printf 'run %s\n' "$(digest_of_run)"; fi
  } >"$stamp.new"
  mv "$stamp.new" "$stamp"
}

# The page is built again when a source is newer than it; hatch_build.py compares contents then.
ensure_page() { # [--release]
  local built=$root/src/palaver/page/.stamp
  if [[ -f $built && $(<"$built") != help ]]; then
    [[ -d $root/ui ]] || return 0
    [[ -n $(find "$root/ui" \( -name node_modules -o -name dist -o -name coverage -o -name '.*' \) \
      -prune -o -newer "$built" -print -quit) ]] || return 0
  fi
  PYTHONPATH=$venv/build "$venv/bin/python" "$root/hatch_build.py" "$@" ||
    stop "the page could not be built (see above)."
}
