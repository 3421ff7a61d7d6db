#!/usr/bin/env bash
# What methods and formats leave of a real language model's safety: SmolLM2's safety pair under the methods that train
# nothing, W4A16 to W4A4KV4 (w4_smollm2.toml), under those that train a transform (w4_smollm2_trained.toml, over training
# seeds w4a4_smollm2.toml), and under AAQ over its weights and tokens (ablation_*_smollm2.toml). Writes results/NAME.md, .csv
# and .sql.gz of each. Hours of two cores; what is stored is not done again.
#   HARNESS_DATA=FOLDER bash experiments/w4_smollm2.sh [DATABASE [NAME...]]       NAME: default all of them
# HARNESS_DATA: the folder with the pair's prompts (experiments/smollm2_safety_pair.sh names them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh
names=(w4_smollm2 w4_smollm2_trained w4a4_smollm2 ablation_push_weight_smollm2 ablation_k_smollm2 ablation_push_k_smollm2)
[ $# -lt 2 ] || names=("${@:2}")
declare -A titles=(
  [w4_smollm2]='Formats against safety: SmolLM2, methods that train nothing'
  [w4_smollm2_trained]='Transforms that are trained, SmolLM2'
  [w4a4_smollm2]='Rotations over training seeds, SmolLM2 at W4A4KV4'
  [ablation_push_weight_smollm2]='AAQ over the weight of its push, SmolLM2 at W4A4KV4'
  [ablation_k_smollm2]='AAQ over the tokens of its pull, SmolLM2 at W4A4KV4'
  [ablation_push_k_smollm2]='AAQ over the tokens of its push, SmolLM2 at W4A4KV4'
)
# What a page says before its tables.
ablation='One training of each arm. How far apart two trainings of one arm lie shows on another processor, where sums are cut otherwise,
in the fine-tune of the pair too (and equal logits in bf16 were kept in another order): the refusals of OSTQuant, alpha .5 and alpha .75 were .59, .26 and .50 there
([w4_smollm2_trained.md](w4_smollm2_trained.md)), and are .78, .80 and .61 here. What lies within that is no effect of what is varied.'
declare -A notes=(
  [w4a4_smollm2]='What was asked, before the first run: AAQ minus OSTQuant in refusal, AUC and over_refusal. None of the three differs from nothing.'
  [ablation_push_weight_smollm2]="$ablation So nothing is told of alpha from 0 to .75. Alpha 1 is apart: its loss, which has no lower bound, costs the
language (perplexity 56 after 35), and with it refusals and the control."
  [ablation_k_smollm2]="$ablation With 10 tokens in its pull the training runs away at step 32 of 60, by the push of alpha .75, which has 500: a failed row."
  [ablation_push_k_smollm2]=$ablation
)

for name in "${names[@]}"; do
  # Status 1: a training that ran away, or a fine-tune that does not meet its gate, is a failed row.
  "$harness" run "experiments/$name.toml" --db "$database" || [ $? = 1 ]
  unit='One pair from one training seed: intervals and tests are over prompts and windows, and say nothing of other
trainings of the pair or of a transform.'
  summary=pair_summary
  plots=("$(plot "$name" bits)" '' "$(plot "$name" safety_perplexity)")
  case $name in
    ablation_*) plots=("$(plot "$name" ablation)") ;;
    w4a4_smollm2)
      unit='The training seed of the pair is the unit. Mean ± standard deviation over training seeds.'
      summary=pair_over_seeds
      plots=('Differences of every two arms, paired by training seed:' '' "$(made_by report "$name" --all-pairs)" ''
        "$(plot "$name" metrics)")
      ;;
  esac
  write_results "$name" "${titles[$name]}" \
    "Command: \`HARNESS_DATA=FOLDER bash experiments/w4_smollm2.sh results/results.sqlite $name\`." '' \
    "$unit" '' \
    ${notes[$name]:+"${notes[$name]}" ''} \
    "$(made_by report "$name" --query "queries/$summary.sql")" '' \
    "${plots[@]}" '' 'Time and memory of each stage:' '' \
    "$(made_by report "$name" --query queries/stage_costs.sql)" ''
done
