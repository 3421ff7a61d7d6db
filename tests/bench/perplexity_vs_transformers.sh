#!/usr/bin/env bash
# SmolLM2's perplexity pass, harness beside transformers, in one run on an otherwise idle machine (some 20
# minutes on 2 cores). Writes results/performance.md.
#   HARNESS_ORACLE_PYTHON=python3 bash tests/bench/perplexity_vs_transformers.sh [--repeats 5] [--threads 2]
# HARNESS_ORACLE_PYTHON: a Python with torch, transformers, accelerate and gguf. BUILD: the build folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="${BUILD:-build/release}"
: "${HARNESS_ORACLE_PYTHON:?name a Python that has torch, transformers, accelerate and gguf}"
ninja -C "$build" perplexity_bench >&2
exec "$HARNESS_ORACLE_PYTHON" tests/bench/perplexity_vs_transformers.py \
  --bench "$build/tests/bench/perplexity_bench" "$@"
