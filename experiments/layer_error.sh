#!/usr/bin/env bash
# What GPTQ leaves of each Linear's output error on SmolLM2 (experiments/layer_error.toml); writes results/layer_error*.
#   bash experiments/layer_error.sh [DATABASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=layer_error
source results/write_results.sh

"$harness" run experiments/$name.toml --db "$database"
write_results "$name" "Layer error: GPTQ and round-to-nearest, SmolLM2 at W4A16" \
  "Command: \`bash experiments/$name.sh\`. \"RTN\" is GPTQ with a damping that leaves nothing of its compensation, so that" \
  "both errors are of the same calibration inputs. Output over error in dB, mean over the 30 layers (the least of them):" '' \
  "$(made_by report $name --query queries/layer_error.sql)" ''
