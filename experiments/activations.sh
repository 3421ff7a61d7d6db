#!/usr/bin/env bash
# SmolLM2's activations before and after rotations (experiments/activations.toml); writes results/activations*.
#   bash experiments/activations.sh [DATABASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=activations
source results/write_results.sh

"$harness" run experiments/$name.toml --db "$database"
write_results $name "Activations before and after rotation, SmolLM2 at W4A4KV4" \
  "Command: \`bash experiments/$name.sh\`. Four windows of 512 tokens of Wikipedia. Kurtosis is 3 for a normal distribution and grows with" \
  'outliers; the ratio of the largest magnitude to the median is what a grid has to span; SNR is the power of the values over' \
  'that of the error of quantizing them, in dB. By place, the mean over the 30 layers (the worst of them):' '' \
  "$(made_by report $name --query queries/activations_by_place.sql)" '' \
  "$(plot $name activations)" ''
