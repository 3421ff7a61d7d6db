#!/usr/bin/env bash
# The quickstart's rows on every window, instead of the first twelve: of BoolQ's Wikipedia passages and, where
# HARNESS_DATA names a folder that holds it, of WikiText-2's test split. About 30 minutes on 2 cores; what is
# stored is not done again. Writes results/smollm2_*: table and provenance, every digit, a dump of the database.
#   HARNESS_DATA=FOLDER bash experiments/smollm2_full.sh [DATABASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
database=${1:-results/results.sqlite}
bash harness/setup/setup.sh release
harness=build/release/harness

# measure NAME TITLE EVALS
measure() {
  "$harness" run experiments/quickstart.toml --db "$database" --set "name=$1" --set "evals=$3"
  {
    printf '# %s\n\n' "$2"
    printf 'Command: `bash experiments/smollm2_full.sh`, which runs `experiments/quickstart.toml` on all windows.\n'
    printf 'Every digit: [%s.csv](%s.csv); scores of every window: `gunzip -c %s.sql.gz | sqlite3 new.sqlite`.\n\n' "$1" "$1" "$1"
    "$harness" report "$1" --db "$database" --provenance
  } >"results/$1.md"
  "$harness" report "$1" --db "$database" --format csv --out "results/$1.csv"
  "$harness" report "$1" --db "$database" --format sql | gzip -n9 >"results/$1.sql.gz"
}

measure smollm2_boolq_wiki "SmolLM2-135M-Instruct on BoolQ's Wikipedia passages" '["perplexity"]'
if [ -n "${HARNESS_DATA-}" ]; then
  measure smollm2_wikitext2 "SmolLM2-135M-Instruct on WikiText-2" \
    '[{ name = "perplexity", text = "wikitext2-test" }]'
else
  echo "HARNESS_DATA names no folder: WikiText-2 is left out"
fi
