#!/usr/bin/env bash
# Trains the world pair with six seeds, measures it (experiments/world_pair.toml) and writes results/world_pair*: the
# table, every digit, a dump, how the training went and its curves. About 7 minutes on 2 cores; what is stored is not
# done again.
#   bash experiments/world_pair.sh [DATABASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh

# Status 1: a seed whose fine-tune does not meet its gate. It is a failed row, and discarded.
"$harness" run experiments/world_pair.toml --db "$database" || [ $? = 1 ]
write_results world_pair "The world pair over six training seeds" \
  'Command: `bash experiments/world_pair.sh`. Learning curves: [world_pair_curves.csv](world_pair_curves.csv).' '' \
  'Training, with what the gate saw last of the validation items (95 % of each are asked for):' '' \
  "$(made_by report world_pair --query queries/training.sql)" '' \
  '<!-- $ harness report world_pair --query queries/learning_curves.sql --format csv --out world_pair_curves.csv -->'
