#!/usr/bin/env bash
# Builds, tests and measures the harness on a machine that has a GPU, CMake, Ninja, nvcc and a Python with torch, and no network.
# What else it takes (headers and libraries of Debian packages, Arrow) is packed beforehand where there is one.
#   bash tests/gpu/machine.sh pack              with network: fills .gpu/ (about 35 MB; git ignores it), which then travels along
#   bash tests/gpu/machine.sh build             on the machine: configures and builds build/cuda; what is built stays built
#   bash tests/gpu/machine.sh test              there: all tests; those of CUDA must not be skipped
#   bash tests/gpu/machine.sh measure [WHAT]    there: WHAT of rates, kernels, perplexity, aaq, gptq; else the first that is not measured yet
#   bash tests/gpu/machine.sh report            anywhere: results/gpu.md of what was measured
# Each command ends within 10 minutes. Measurements are lines of JSON in $OUT/gpu.jsonl (without OUT: .gpu/); copy the file to .gpu/
# before the next command where OUT is another folder each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=.gpu
out=${OUT:-$folder}
measurements=(rates kernels perplexity aaq gptq)

fail() {
  printf 'gpu machine: error: %s\n' "$*" >&2
  exit 2
}
packages() {
  # Build tools are there; what one compiles with and links to is not.
  sed -e 's/[[:space:]]*#.*//' -e '/^$/d' harness/setup/packages.txt | grep -E '^(lib|nlohmann)'
}

# The packages and what they need of shared libraries, unpacked into one prefix.
pack() {
  local debs=$folder/debs prefix=$folder/prefix cache
  rm -rf "$folder/debs" "$prefix" "$folder/arrow"
  mkdir -p "$debs/partial" "$prefix" "$folder/arrow/pyarrow"
  local wanted
  wanted=$(packages | xargs apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances | grep -E '^(lib|nlohmann)' | grep -vE '^(libc6|libgcc|libstdc|libc-|libcrypt)' | sort -u)
  (cd "$debs" && apt-get download $wanted >/dev/null)
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$prefix"; done
  rm -rf "$debs" "$prefix"/usr/share/{doc,man,lintian,bug} "$prefix"/usr/bin
  find "$prefix" -name '*.a' ! -name 'libgtest*' ! -name 'libgmock*' ! -name 'libbenchmark*' -delete
  cache=${HARNESS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aaq-harness}
  cp -r "$cache"/pyarrow-*/pyarrow/include "$cache"/pyarrow-*/pyarrow/lib{arrow,parquet}.so.* "$folder/arrow/pyarrow/"
  basename "$(echo "$cache"/pyarrow-*)" >"$folder/arrow/name"
  strip --strip-unneeded "$folder"/arrow/pyarrow/*.so.* 2>/dev/null || true
  tar -C "$folder" -c prefix arrow | xz -T0 -6 >"$folder/machine.tar.xz"
  rm -rf "$prefix" "$folder/arrow"
  du -h "$folder/machine.tar.xz"
}

unpack() {
  [ -d "$folder/prefix" ] && return
  [ -f "$folder/machine.tar.xz" ] || fail "$folder/machine.tar.xz is not here: bash tests/gpu/machine.sh pack"
  tar -C "$folder" -xJf "$folder/machine.tar.xz"
  mkdir -p "$folder/cache"
  mv "$folder/arrow" "$folder/cache/$(cat "$folder/arrow/name")"
}

# What the build and its programs are told of the prefix.
environment() {
  local prefix=$PWD/$folder/prefix
  local libraries=$prefix/usr/lib/x86_64-linux-gnu
  export HARNESS_CACHE=$PWD/$folder/cache
  export HARNESS_TORCH=${HARNESS_TORCH:-$(python3 -c 'import torch; print(torch.__path__[0])')}
  export PKG_CONFIG_SYSROOT_DIR=$prefix PKG_CONFIG_PATH=$libraries/pkgconfig:$prefix/usr/share/pkgconfig
  export CMAKE_PREFIX_PATH=$prefix/usr CMAKE_LIBRARY_PATH=$libraries CMAKE_INCLUDE_PATH=$prefix/usr/include
  export LD_LIBRARY_PATH=$libraries:$HARNESS_CACHE/$(cat "$HARNESS_CACHE"/*/name)/pyarrow${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

build() {
  unpack
  environment
  cmake --preset "${HARNESS_GPU_PRESET:-cuda}"
  timeout 500 cmake --build "build/${HARNESS_GPU_PRESET:-cuda}" --parallel "$(nproc)" --target all gpu_bench ||
    fail "the build was not finished: the same command goes on with it"
}

test_all() {
  environment
  rm -rf build/cuda/gtest
  OMP_NUM_THREADS=1 timeout 560 ctest --test-dir build/cuda --parallel "$(nproc)" --output-on-failure \
    -E 'lint|generate_test|train_test|app_test' | tee "$out/ctest.log"
  if grep -h 'result="skipped"' build/cuda/gtest/*.xml | grep -q Cuda; then fail "tests of CUDA were skipped"; fi
}

# What is asked for, or the first that has no line yet: one at a time, since each may take nine minutes.
measure() {
  environment
  mkdir -p "$out"
  local what=${1-} each left=()
  [ "$out" = "$folder" ] || [ ! -f "$folder/gpu.jsonl" ] || cp "$folder/gpu.jsonl" "$out/gpu.jsonl"
  [ -z "$what" ] || [[ " ${measurements[*]} " = *" $what "* ]] || fail "measure $what: one of ${measurements[*]}"
  for each in "${measurements[@]}"; do
    [ "$each" != "$what" ] && ! grep -qs "\"what\": \"$each\"" "$out/gpu.jsonl" || continue
    if [ -z "$what" ]; then what=$each; else left+=("$each"); fi
  done
  [ -n "$what" ] || { echo "all are measured: ${measurements[*]}" >&2; return; }
  PYTORCH_CUDA_ALLOC_CONF=per_process_memory_fraction:0.53 timeout 540 build/cuda/tests/gpu/gpu_bench "$what" | tee -a "$out/gpu.jsonl"
  [ ${#left[@]} -eq 0 ] || echo "not measured yet: ${left[*]}; the same command goes on" >&2
}

report() {
  [ -s "$folder/gpu.jsonl" ] || fail "$folder/gpu.jsonl holds no measurement"
  {
    printf '# On a GPU\n\n'
    printf 'A model of the shape of Llama-3.1-8B with random bf16 weights, made on the device; its memory limited to 80 GB.\n\n'
    printf -- '- Command: `bash tests/gpu/machine.sh measure` (pack, build and test before it); commit %s.\n' \
      "$(git rev-parse --short=12 HEAD)"
    printf -- '- One line a measurement; seconds are wall time, memory is what the allocator had reserved at most. `share_of_copy`: of the bytes a kernel must\n  move, read and written once, by the rate of a copy in the same turn (median of 5). Asked of fake_quantize and hadamard: .80. What quantizes a weight with MSE\n  clipping is bound by arithmetic, not by memory.\n'
    printf -- '- `share_of_matrix_rate`: of the operations of a pass (its Linears and causal attention) by the rate of a matrix product right before it;\n  aimed for: .60 in bf16, .48 in W4A4KV4.\n\n```\n'
    cat "$folder/gpu.jsonl"
    printf '```\n'
  } >results/gpu.md
}

case ${1-} in
  pack | build | report) "$1" ;;
  test) test_all ;;
  measure) measure "${2-}" ;;
  *) sed -n '2,12s/^# \?//p' "$0"; exit 2 ;;
esac
