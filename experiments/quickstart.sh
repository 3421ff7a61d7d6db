#!/usr/bin/env bash
# Sets up, builds and runs experiments/quickstart.toml: a real language model, quantized and measured.
#   bash experiments/quickstart.sh [OPTION OF `harness run`...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

start=$SECONDS
bash harness/setup/setup.sh release
echo "quickstart: build/release/harness run experiments/quickstart.toml $*"
status=0
build/release/harness run experiments/quickstart.toml "$@" || status=$?
echo "quickstart: $((SECONDS - start)) s in all, set-up and build included"
exit "$status"
