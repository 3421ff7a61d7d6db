#!/usr/bin/env bash
# What the world pair says of the methods, over training seeds: the paper's main table in 4 and in 3 bits, the ablations
# of AAQ, bits, and calibration. Writes results/NAME.md, .csv and .sql.gz of each. A training seed costs about 3.5 minutes
# of two cores for the two main tables together, 2 for the others, and 1.5 for its training; what is stored is not done
# again.
#   bash experiments/world.sh [DATABASE [NAME...]]       NAME: default all of them
# SEEDS, a list as TOML has it, names other training seeds than the files do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh
# Those of all runs are 40 to 100 MB a table, these 5.
declare -A items_of=([w4a4_world]=first [w4a3_world]=first)
declare -A titles=(
  [w4a4_world]='Methods on the world pair, W4A4KV4'
  [w4a3_world]='Methods on the world pair, W4A3KV3'
  [ablation_push_weight_world]='AAQ over the weight of its push, world pair, W4A3KV3'
  [ablation_k_world]='AAQ over the tokens of its pull, world pair, W4A3KV3'
  [ablation_push_k_world]='AAQ over the tokens of its push, world pair, W4A3KV3'
  [bits_world]='Bits against language, skill and safety, world pair'
  [aaq_paper_world]='AAQ as its paper has it, world pair, W4A3KV3'
  [aaq_released_world]='AAQ as its released code runs it, world pair, W4A3V3'
  [calibration_world]='Calibration on text and on chat, world pair, W4A3KV3'
  [smoothing_world]='Trained scales and perplexity, world pair, W4A4KV4'
)
declare -A plots=([bits_world]=bits)
for name in ablation_push_weight_world ablation_k_world ablation_push_k_world aaq_released_world; do plots[$name]=ablation; done
declare -A against=([smoothing_world]=against_rotation_only)
names=(
  w4a4_world w4a3_world ablation_push_weight_world ablation_k_world ablation_push_k_world bits_world calibration_world
  aaq_paper_world aaq_released_world smoothing_world
)
[ $# -lt 2 ] || names=("${@:2}")

for name in "${names[@]}"; do
  # Status 1: a seed whose fine-tune does not meet its gate. It is a failed row, and discarded.
  "$harness" run "experiments/$name.toml" --db "$database" ${SEEDS:+--set "sweep.model.seed=$SEEDS"} || [ $? = 1 ]
  items=${items_of[$name]:-none}
  write_results "$name" "${titles[$name]}" \
    "Command: \`${SEEDS:+SEEDS='$SEEDS' }bash experiments/world.sh results/results.sqlite $name\`." '' \
    "$(made_by report "$name" --verdict)" '' \
    'The training seed is the unit: calibration seeds, where a run has several, are averaged inside each. Mean ± standard' \
    'deviation over training seeds:' '' \
    "$(made_by report "$name" --query queries/by_training_seed.sql)" '' \
    'Differences, paired by training seed: mean ± standard error (in how many seeds it is above 0):' '' \
    "$(made_by report "$name" --query "queries/${against[$name]:-against_ostquant}.sql")" '' \
    'Means over training seeds, with intervals of 95 %:' '' \
    "$(plot "$name" "${plots[$name]:-metrics}")" ''
done
