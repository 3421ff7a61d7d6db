#!/usr/bin/env bash
# Proves README's two commands on a bare Debian 12: makes one in a folder with debootstrap, clones this checkout
# into it, runs experiments/quickstart.sh and tests/run.sh inside as a person would, and writes results/setup.md.
#   bash tests/setup/fresh_machine.sh [--keep] [FOLDER]
# FOLDER (default a new one under TMPDIR) takes about 10 GB; it is removed at the end, with --keep it stays.
# Needs root, debootstrap and the network. Not a part of the fast tests: about 20 minutes on 2 cores.
set -euo pipefail
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$source_folder"

say() { printf 'fresh machine: %s\n' "$*"; }
fail() {
  printf 'fresh machine: error: %s\n' "$*" >&2
  exit 2
}

keep=no
if [ "${1-}" = --keep ]; then
  keep=yes
  shift
fi
[ "$(id -u)" -eq 0 ] || fail "debootstrap and chroot need root"
command -v debootstrap >/dev/null || fail "no debootstrap: apt-get install debootstrap"
base=${1:-$(mktemp -d -t harness-fresh-XXXXXX)}
[ ! -e "$base/machine" ] || fail "$base/machine is there already: name another folder"
mkdir -p "$base"
base=$(realpath "$base")
machine=$base/machine
logs=$base/logs
mkdir -p "$logs"
[ "$keep" = yes ] || trap 'rm -rf --one-file-system "$machine"' EXIT

# The same packages and the same network as this machine has: its apt sources and settings, names, proxies, pip
# configuration and certificates. Installing ca-certificates overwrites the usual bundle, hence another name.
make_machine() {
  local mirror
  mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^bookworm //p' | head -n 1)
  [ -n "$mirror" ] || fail "this machine's apt sources name no Debian 12 (bookworm)"
  debootstrap --variant=minbase --no-check-gpg bookworm "$machine" "$mirror" >"$logs/debootstrap.log" 2>&1 ||
    fail "debootstrap failed: $logs/debootstrap.log"
  cp -L /etc/hosts /etc/resolv.conf "$machine/etc/"
  rm -f "$machine/etc/apt/sources.list"
  cp -L /etc/apt/sources.list "$machine/etc/apt/" 2>/dev/null || true
  cp -L /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$machine/etc/apt/sources.list.d/" \
    2>/dev/null || true
  cp -L /usr/share/keyrings/* "$machine/usr/share/keyrings/" 2>/dev/null || true
  apt-config dump | grep '^Acquire::' >"$machine/etc/apt/apt.conf.d/99this-machine" || true
  cp -L /etc/pip.conf "$machine/etc/" 2>/dev/null || true
  cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$machine/etc/this-machine.crt" 2>/dev/null || true
}

# inside LOG COMMAND: runs it in the checkout on the fresh machine, where nothing of this one's environment but
# its network settings is known; mounts and processes end with it. The output goes to LOG.
inside() {
  local log=$1 name settings=()
  for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT \
    http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name-}" ] || settings+=("$name=${!name}")
  done
  [ ! -f "$machine/etc/this-machine.crt" ] || settings+=(PIP_CERT=/etc/this-machine.crt)
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    machine=$1
    command=$2
    shift 2
    mount -t proc proc "$machine/proc"
    for device in null zero full random urandom; do
      touch "$machine/dev/$device"
      mount --bind "/dev/$device" "$machine/dev/$device"
    done
    mkdir -p "$machine/dev/shm"
    mount -t tmpfs tmpfs "$machine/dev/shm"
    exec env -i HOME=/person TERM=dumb \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
      chroot "$machine" bash -c "cd ~/harness && $command"
  ' inside "$machine" "$2" ${settings[@]+"${settings[@]}"} >"$log" 2>&1 </dev/null
}

# timed NAME COMMAND: runs it inside, leaves its seconds in seconds[NAME], and fails with the end of its output.
declare -A seconds=()
timed() {
  local start=$EPOCHREALTIME
  inside "$logs/$1.log" "$2" || {
    tail -n 40 "$logs/$1.log" >&2
    fail "\`$2\` failed: the end of $logs/$1.log stands above"
  }
  seconds[$1]=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { d = b - a; printf(d < 10 ? "%.1f" : "%.0f", d) }')
  say "$2: ${seconds[$1]} s"
}
# from NAME EXPRESSION: what sed finds in the output of a step.
from() { sed -nE "s/$2/\1/p" "$logs/$1.log" | tail -n 1; }
size() { du -sh "$machine/$1" | cut -f 1; }

say "making a bare Debian 12 in $machine"
make_machine
mkdir -p "$machine/person"
git clone --quiet --no-local "$source_folder" "$machine/person/harness"
commit=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain)" ] || say "what is not committed is not tried: the clone is $commit"

timed quickstart "bash experiments/quickstart.sh"
timed tests "bash tests/run.sh"
timed nothing_to_do "bash harness/setup/setup.sh"

wheel_bytes=$(sed 's/ *#.*//' harness/setup/wheels.txt | awk '{ sum += $5 } END { print sum }')
cat >results/setup.md <<REPORT
# A fresh machine

\`bash tests/setup/fresh_machine.sh\` at commit $commit, $(date -u +%Y-%m-%d): a bare Debian
$(cat "$machine/etc/debian_version") (debootstrap, minbase) in a chroot, $(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1),
empty caches. Ubuntu 24.04, which the set-up is written for too, is untested.

| step | time |
|---|---:|
| \`bash experiments/quickstart.sh\`, all of it | ${seconds[quickstart]} s |
| - Debian packages | $(from quickstart '^setup: packages installed .* in ([0-9]+) s$') s |
| - wheels, downloaded and unpacked | $(awk '/^setup:   .*: [0-9]+ s$/ { sum += $(NF - 1) } END { print sum }' "$logs/quickstart.log") s |
| - cold build of the program | $(from quickstart '^setup: build.release is up to date .* in ([0-9]+) s.$') s |
| - \`harness run experiments/quickstart.toml\` | $(from quickstart '^quickstart: run: ([0-9]+) s.*') s |
| \`bash tests/run.sh\` after it, all of it | ${seconds[tests]} s |
| - build of the tests | $(from tests '^setup: build.release is up to date .* in ([0-9]+) s.$') s |
| - ctest | $(from tests '^Total Test time .real. = +([0-9.]+) sec') s |
| \`bash harness/setup/setup.sh\` with nothing to do | ${seconds[nothing_to_do]} s |

| download | size |
|---|---:|
| Debian packages that a bare system lacks | $(from quickstart '^setup: packages installed \((.*) downloaded\).*') |
| wheels | $(((wheel_bytes + 500000) / 1000000)) MB |

| on disk afterwards | size |
|---|---:|
| wheels, unpacked | $(size person/.cache/aaq-harness) |
| ccache | $(size person/.cache/ccache) |
| build/release, with the tests | $(size person/harness/build/release) |

ctest: $(from tests '^([0-9]+% tests passed.*)')
REPORT
say "results/setup.md is written; the output of each step is in $logs"
