#!/usr/bin/env bash
# Sets up, builds and runs experiments/quickstart.toml: a real language model, quantized and measured.
#   bash experiments/quickstart.sh [OPTION OF `harness run`...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash harness/setup/setup.sh release
start=$SECONDS
status=0
build/release/harness run experiments/quickstart.toml "$@" || status=$?
cat <<WHERE
quickstart: run: $((SECONDS - start)) s
  experiment   experiments/quickstart.toml (a copy of it is the way to a model of your own)
  database     results/results.sqlite, or the file that --db names
  the table    build/release/harness report quickstart
  one run      build/release/harness show LABEL   settings, provenance, metrics, messages
  the rest     build/release/harness --help
WHERE
exit "$status"
