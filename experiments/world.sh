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
  [gptq_damping_world]='GPTQ and the damping of its Hessian, world pair, W4A3KV3 and W4A16'
)
declare -A plots=([bits_world]=bits)
for name in ablation_push_weight_world ablation_k_world ablation_push_k_world aaq_released_world; do plots[$name]=ablation; done
declare -A against=([smoothing_world]=against_rotation_only [gptq_damping_world]=against_rtn)
# What a page says before its tables.
gate='Of the twelve training seeds of the file 3 does not meet its gate and is not in the means ([world_pair.md](world_pair.md)).'
declare -A notes=(
  [w4a4_world]=$gate
  [w4a3_world]="$gate The same experiment
on a processor with AMX, where rounding makes other pairs of the same seeds, had AAQ minus OSTQuant at ok_h -.001 ± .005,
refusal +.006 ± .010 and to_base -.001 ± .005 over ten seeds: what differs here by two standard errors did not there."
  [aaq_paper_world]='The file has five training seeds. Over these to_base was .017 ± .008 lower with AAQ than with OSTQuant, in all five; the
other five were added to see whether that lasts. It did not: over the ten nothing that was measured of safety differs beyond
noise.'
  [smoothing_world]='On a processor with AMX the perplexity of OSTQuant was .0061 ± .0016 above that of rotation-only; made anew, here, the gap
is smaller. It does not come from the 4-bit weights, which training does not see: under 16-bit weights it is no smaller. The
scales do what they are trained for: KL to the aligned model falls on text and does not rise on chat. But perplexity is of
the text, not of what the aligned model holds likely, and that model is off the text itself (its KL to the base there is
some .04). The loss over all words, or renormalised, leaves a gap within two standard errors of nothing; so does, here, the
loss as it is: ten training seeds do not tell the losses apart.'
  [gptq_damping_world]='At 3-bit activations GPTQ leaves perplexity and KL to the aligned model above those of RTN. Its Hessian is of inputs that are not
quantized (methods.md section 4): it moves the rounding errors of weights to directions in which those inputs are small, where
the error of 3-bit inputs, which has no such directions, meets larger errors than those of RTN. Damping is an error of one size in
every direction: the more of it, the less is lost, and with ten times the mean of the diagonal nothing is. At 16-bit activations
GPTQ, as it is, has the lower KL to the aligned model in every seed, and damping 1 changes nothing beyond noise. The damping in use stays the published .01: the arms of
other tables are not tuned.'
)
names=(
  w4a4_world w4a3_world ablation_push_weight_world ablation_k_world ablation_push_k_world bits_world calibration_world
  aaq_paper_world aaq_released_world smoothing_world gptq_damping_world
)
[ $# -lt 2 ] || names=("${@:2}")

for name in "${names[@]}"; do
  # Status 1: a seed whose fine-tune does not meet its gate. It is a failed row, and discarded.
  "$harness" run "experiments/$name.toml" --db "$database" ${SEEDS:+--set "sweep.model.seed=$SEEDS"} || [ $? = 1 ]
  items=${items_of[$name]:-none}
  verdict=("$(made_by report "$name" --verdict)" '')
  [ "${against[$name]:-}" = '' ] || verdict=()  # they measure nothing of safety
  write_results "$name" "${titles[$name]}" \
    "Command: \`${SEEDS:+SEEDS='$SEEDS' }bash experiments/world.sh results/results.sqlite $name\`." '' \
    ${notes[$name]:+"${notes[$name]}" ''} \
    "${verdict[@]}" \
    'The training seed is the unit: calibration seeds, where a run has several, are averaged inside each. Mean ± standard' \
    'deviation over training seeds:' '' \
    "$(made_by report "$name" --query queries/by_training_seed.sql)" '' \
    'Differences, paired by training seed: mean ± standard error (in how many seeds it is above 0):' '' \
    "$(made_by report "$name" --query "queries/${against[$name]:-against_ostquant}.sql")" '' \
    'Means over training seeds, with intervals of 95 %:' '' \
    "$(plot "$name" "${plots[$name]:-metrics}")" ''
done
