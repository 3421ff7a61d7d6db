#!/usr/bin/env bash
# The arms of the paper's main table on the world pair, in 4 and in 3 bits (w4a4_world.toml, w4a3_world.toml), and the
# files results/w4a4_world*, results/w4a3_world*. About 3.5 minutes of two cores a training seed for the two together,
# and 1.5 for its training; what is stored is not done again. SEEDS: the training seeds, a list as TOML has it.
#   bash experiments/w4a4_world.sh [DATABASE [SEEDS]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
database=${1:-results/results.sqlite}
seeds=${2:-[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}
harness=${HARNESS:-build/release/harness}
[ -n "${HARNESS-}" ] || bash harness/setup/setup.sh release
source results/write_results.sh
dump=no  # millions of items: some 40 MB

# write NAME TITLE
write() {
  # Status 1: a seed whose fine-tune does not meet its gate. It is a failed row, and discarded.
  "$harness" run "experiments/$1.toml" --db "$database" --set "sweep.model.seed=$seeds" || [ $? = 1 ]
  write_results "$1" "$2" \
    "Command: \`bash experiments/w4a4_world.sh results/results.sqlite '$seeds'\`." '' \
    'The training seed is the unit: two calibration seeds are averaged inside each. Mean ± standard deviation over' \
    'training seeds:' '' \
    "$(made_by report "$1" --query queries/by_training_seed.sql)" '' \
    'Minus OSTQuant, paired by training seed: mean ± standard error (in how many seeds it is above 0):' '' \
    "$(made_by report "$1" --query queries/against_ostquant.sql)" ''
}

write w4a4_world 'Methods on the world pair, W4A4KV4'
write w4a3_world 'Methods on the world pair, W4A3KV3'
