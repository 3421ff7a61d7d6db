#!/usr/bin/env bash
# What methods and formats leave of a real language model's safety: SmolLM2's safety pair under the methods that train
# nothing, W4A16 to W4A4KV4 (w4_smollm2.toml), and under those that train a transform (w4_smollm2_trained.toml). Writes
# results/NAME.md, .csv and .sql.gz of each. Hours of two cores; what is stored is not done again.
#   HARNESS_DATA=FOLDER bash experiments/w4_smollm2.sh [DATABASE [NAME...]]       NAME: default both
# HARNESS_DATA: the folder with the pair's prompts (experiments/smollm2_safety_pair.sh names them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh
declare -A titles=(
  [w4_smollm2]='Formats against safety: SmolLM2, methods that train nothing'
  [w4_smollm2_trained]='Transforms that are trained, SmolLM2'
)
names=(w4_smollm2 w4_smollm2_trained)
[ $# -lt 2 ] || names=("${@:2}")

for name in "${names[@]}"; do
  "$harness" run "experiments/$name.toml" --db "$database"
  write_results "$name" "${titles[$name]}" \
    "Command: \`HARNESS_DATA=FOLDER bash experiments/w4_smollm2.sh results/results.sqlite $name\`." '' \
    'One pair from one training seed: intervals and tests are over prompts and windows, and say nothing of other' \
    'trainings of the pair or of a transform.' '' \
    "$(made_by report "$name" --query queries/pair_summary.sql)" '' \
    "$(plot "$name" bits)" '' "$(plot "$name" safety_perplexity)" '' 'Time and memory of each stage:' '' \
    "$(made_by report "$name" --query queries/stage_costs.sql)" ''
done
