#!/bin/sh
# Installs the pinned packages and the project itself into .venv: with uv where there is one, else with venv and pip.
# usage: sh scripts/setup.sh run|dev      (from the top of the checkout; `make` calls it when it is due)
set -eu

set_name=${1:?usage: sh scripts/setup.sh run|dev}
requirements=requirements/$set_name.txt
venv=.venv
# pip asks rustc for its version, and a rustc that is rustup's stand-in writes settings into HOME on the way.
RUSTUP_HOME=$PWD/$venv/.rustup
export RUSTUP_HOME

say() { printf '%s\n' "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Succeeds for an interpreter that runs and has a version this project supports. One that is listed may still not
# run: a version manager leaves a stub for each version it knows.
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

[ -f "$requirements" ] || fail "$requirements is missing; run this from the top of the checkout"

uv=
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then uv=1; fi

find_python() {
  without_venv=
  for candidate in python3.13 python3.12 python3.11 python3 python; do
    supported "$candidate" || continue
    if [ -n "$uv" ] || has_venv "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
    without_venv=$candidate
  done
  if [ -n "$uv" ] && UV_PYTHON_DOWNLOADS=never uv python find '>=3.11,<3.14' 2>/dev/null; then return; fi
  if [ -n "$without_venv" ]; then
    fail "$without_venv lacks the venv module; install it (Debian: apt install $without_venv-venv), or install uv"
  fi
  found=$(python3 --version 2>/dev/null) || found='no python3 that runs'
  fail "no Python 3.11, 3.12 or 3.13 found on PATH ($found); install one of them"
}

if [ -e "$venv" ] && ! supported "$venv/bin/python"; then
  say "$venv does not run a supported Python; building it anew"
  rm -rf "$venv"
fi
rm -f "$venv/.setup-run" "$venv/.setup-dev"

if [ -n "$uv" ]; then
  if [ ! -e "$venv" ]; then
    python=$(find_python)
    say "$venv from $("$python" --version) with uv"
    uv venv --quiet --python "$python" "$venv"
  fi
  say "installing $requirements"
  uv pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes -r "$requirements"
  uv pip install --quiet --python "$venv/bin/python" --no-build-isolation --no-deps -e .
else
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then # none yet, or one that uv made without pip
    python=$(find_python)
    say "$venv from $("$python" --version) with pip"
    "$python" -m venv --clear "$venv"
  fi
  say "installing $requirements; with pip this takes a minute or two"
  pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check --require-virtualenv "$@"; }
  pip install --require-hashes -r "$requirements"
  pip install --no-build-isolation --no-deps -e .
fi

touch "$venv/.setup-$set_name"
[ "$set_name" != dev ] || touch "$venv/.setup-run" # dev holds all of run, at the same versions
say "ready"
