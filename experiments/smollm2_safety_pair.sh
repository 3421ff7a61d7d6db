#!/usr/bin/env bash
# Trains the pair smollm2-safety and measures base and aligned, from prompt files that HARNESS_DATA's folder holds.
# Writes results/smollm2_safety_pair.md: table, how the training went, time and memory; and .csv with every digit.
#   HARNESS_DATA=FOLDER bash experiments/smollm2_safety_pair.sh [DATABASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=smollm2_safety_pair
database=${1:-results/results.sqlite}
harness=${HARNESS_BINARY:-build/release/harness}
[ -n "${HARNESS_BINARY-}" ] || bash harness/setup/setup.sh release

start=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
/usr/bin/time -f 'peak memory %M KiB' "$harness" run experiments/$name.toml --db "$database" 2>&1 | tee "$log"
seconds=$((SECONDS - start))
