#!/usr/bin/env bash
# SmolLM2 on 200 questions of each task, as shipped and quantized (experiments/smollm2_tasks.toml). Writes
# results/smollm2_tasks*: table and provenance, every digit, a dump. What is stored is not done again.
#   HARNESS_DATA=FOLDER bash experiments/smollm2_tasks.sh [DATABASE]
# HARNESS_DATA: the folder with LAMBADA, TruthfulQA, SafetyBench and BBQ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source results/write_results.sh

"$harness" run experiments/smollm2_tasks.toml --db "$database"
write_results smollm2_tasks "SmolLM2-135M-Instruct on tasks of skill and safety" \
  'Command: `HARNESS_DATA=FOLDER bash experiments/smollm2_tasks.sh`. 200 questions a task (MMLU: over all its subjects).' '' \
  'With 200 questions a standard error is about .03: most differences between rows are within it. toxigen, advanced_ai_risk, the two of' \
  'BIG-bench and moral_stories have task files, and no rows here: their data sets are in no package. OSTQuant and SpinQuant were' \
  'measured on another processor than the other rows, one without AMX (provenance, below).' '' \
  "$(made_by report smollm2_tasks --query queries/task_scores.sql)" ''
