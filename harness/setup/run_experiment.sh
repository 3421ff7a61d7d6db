#!/usr/bin/env bash
# Sets up, builds, runs experiments/NAME.toml and says where everything is.
#   bash harness/setup/run_experiment.sh NAME [OPTION OF `harness run`...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
name=$1
shift

bash harness/setup/setup.sh release
start=$SECONDS
status=0
build/release/harness run "experiments/$name.toml" "$@" || status=$?
cat <<WHERE
$name: run: $((SECONDS - start)) s
  experiment   experiments/$name.toml (a copy of it is the way to a model of your own)
  database     results/results.sqlite, or the file that --db names
  the table    build/release/harness report $name
  one run      build/release/harness show LABEL   settings, provenance, metrics, messages
  the rest     build/release/harness --help
WHERE
exit "$status"
