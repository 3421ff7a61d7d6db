#!/usr/bin/env bash
# The rows of smollm2.toml on every window, instead of the first twelve: of BoolQ's Wikipedia passages and, where
# HARNESS_DATA names a folder that holds it, of WikiText-2's test split. About 30 minutes on 2 cores; what is
# stored is not done again. Writes results/smollm2_*: table and provenance, every digit, a dump of the database.
#   HARNESS_DATA=FOLDER bash experiments/smollm2_full.sh [DATABASE [NAME]]
# NAME: smollm2_boolq_wiki or smollm2_wikitext2 alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh
only=${2:-}

# measure NAME TITLE EVALS
measure() {
  [ -z "$only" ] || [ "$only" = "$1" ] || return 0
  "$harness" run experiments/smollm2.toml --db "$database" --set "name=$1" --set "evals=$3"
  write_results "$1" "$2" \
    'Command: `bash experiments/smollm2_full.sh`, which runs `experiments/smollm2.toml` on all windows.'
}

measure smollm2_boolq_wiki "SmolLM2-135M-Instruct on BoolQ's Wikipedia passages" '["perplexity"]'
if [ -n "${HARNESS_DATA-}" ]; then
  measure smollm2_wikitext2 "SmolLM2-135M-Instruct on WikiText-2" \
    '[{ name = "perplexity", text = "wikitext2-test" }]'
else
  echo "HARNESS_DATA names no folder: WikiText-2 is left out"
fi
