#!/usr/bin/env bash
# The checks of this folder on made-up trees: each must pass a good tree, find what it is for in a bad one, and
# fail where it finds no file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# put PATH LINE...: writes a file of the made-up tree.
put() {
  mkdir -p "$(dirname "$tree/$1")"
  printf '%s\n' "${@:2}" >"$tree/$1"
}
start() { rm -rf "${tree:?}"/* "$tree"/.ci; }
# passes CHECK [ARGUMENT...] / finds TEXT CHECK [ARGUMENT...]: what the check must say of the tree.
passes() {
  local output
  output=$(bash "$here/$1.sh" "$tree" "${@:2}" 2>&1) && return
  failures=$((failures + 1))
  printf 'line %s: %s should pass, but says:\n%s\n' "${BASH_LINENO[0]}" "$1" "$output"
}
finds() {
  local output status=0
  output=$(bash "$here/$2.sh" "$tree" "${@:3}" 2>&1) || status=$?
  [ "$status" -eq 1 ] && grep -qF -e "$1" <<<"$output" && return
  failures=$((failures + 1))
  printf 'line %s: %s should say "%s", but ended with %s and says:\n%s\n' "${BASH_LINENO[0]}" "$2" "$1" "$status" \
    "$output"
}

for check in layering formatting machine_paths shell_syntax; do
  start
  finds "found no file" "$check"
done
start
put tests/allowed_skips.txt "# nothing"
finds "found no file" skips "$tree/gtest" some_test

# layering
start
put harness/core/error.h '#include <string>'
put harness/model/llama.cc '#include <ATen/ATen.h>' '#include "harness/model/llama.h"' '#include "harness/core/error.h"'
put harness/run/runner.cc '#include "harness/store/store.h"' '#include "harness/plugin/eval.h"'
put methods/rtn/rtn.cc '#include "methods/rtn/rtn.h"' '#include "harness/plugin/method.h"'
passes layering
violates() { # PATH INCLUDE TEXT
  put "$1" "#include $2"
  finds "$3" layering
  rm "$tree/$1"
  passes layering
}
violates harness/core/bad.cc '"harness/model/llama.h"' 'harness/core/bad.cc:1: core may not include model'
violates harness/model/bad.h '"harness/quant/sites.h"' 'model may not include quant'
violates harness/quant/bad.h '"harness/data/text.h"' 'quant may not include data'
violates harness/report/bad.h '"harness/kernels/ops.h"' 'report may not include kernels'
violates harness/run/bad.cc ' "harness/app/main.h"' 'run may not include app'
violates harness/app/bad.cc '"methods/rtn/rtn.h"' 'app may not include methods/rtn'
violates methods/rtn/bad.cc '"methods/gptq/gptq.h"' 'methods/rtn may not include methods/gptq'
violates evals/perplexity/bad.cc '"methods/rtn/rtn.h"' 'evals/perplexity may not include methods/rtn'
violates evals/perplexity/bad.cc '"harness/run/runner.h"' 'evals/perplexity may not include run'
violates harness/kernels/bad.cc '"ops.h"' '"ops.h" is not included from the root'
violates harness/attic/bad.cc '<vector>' 'the room "attic" has no place'
violates harness/store/bad.cc '<torch/version.h>' 'no torch here'
violates harness/kernels/bad.cu '<ATen/ATen.h>' 'no torch here'
violates harness/model/bad.h '<ATen/ATen.h>' 'of torch, a header includes only'
violates harness/model/bad.cc '<torch/torch.h>' 'costs 19 s'
violates harness/run/bad.cc '<sqlite3.h>' 'only store includes'

# formatting
start
put .clang-format 'BasedOnStyle: Google'
put harness/core/good.cc 'int main() { return 0; }'
passes formatting
put harness/core/bad.cc 'int  main( ) {return 0;}'
finds 'harness/core/bad.cc: not formatted' formatting

# machine_paths (the bad words are put together here, so that this file does not hold them)
start
put README.md 'build/release/harness, ~/.cache, ${TMPDIR}/x, results/home/x'
passes machine_paths
for folder in work root home tmp; do
  put README.md "see $(printf '/%s/%s' $folder me)"
  finds 'README.md:1' machine_paths
done
put README.md "from $(printf '%s.%s' pypi org)"
finds 'README.md:1' machine_paths

# golden_files
start
put gtest/a_test.xml x
put gtest/a_test.golden a/opened.txt a/tiny
finds "found no file" golden_files "$tree/gtest" a_test
put tests/golden/a/opened.txt x
put tests/golden/a/generate.py x
put tests/golden/a/tiny/config.json x
passes golden_files "$tree/gtest" a_test
put tests/golden/a/reopened.txt x
finds 'tests/golden/a/reopened.txt: no test opens it' golden_files "$tree/gtest" a_test
passes golden_files "$tree/gtest" a_test a_test_that_did_not_run
put tests/a/a_test.cc 'expect_equal(tokenizer, "reopened")'
finds 'tests/golden/a/reopened.txt: no test opens it' golden_files "$tree/gtest" a_test
put gtest/a_test.xml '<testcase name="Other" status="run" result="skipped" classname="Store">'
passes golden_files "$tree/gtest" a_test
put tests/golden/a/unopened.txt x
finds 'tests/golden/a/unopened.txt: no test opens it' golden_files "$tree/gtest" a_test
rm "$tree/gtest/a_test.golden"
finds 'tests/golden/a/tiny/config.json: no test opens it' golden_files "$tree/gtest" a_test

# shell_syntax
start
put .ci/run 'echo fine'
passes shell_syntax
put bad.sh 'if true; then'
finds 'bad.sh' shell_syntax

# skips
start
report() {
  put gtest/some_test.xml '<testsuites tests="2">' \
    '    <testcase name="Runs" status="run" result="completed" time="0" classname="Store" />' \
    "    <testcase name=\"Other\" $1 time=\"0\" timestamp=\"x\" classname=\"Store\">"
}
put tests/allowed_skips.txt '# comment'
report 'status="run" result="completed"'
passes skips "$tree/gtest" some_test
report 'status="run" result="skipped"'
finds 'Store.Other was skipped' skips "$tree/gtest" some_test
report 'status="notrun" result="suppressed"'
finds 'Store.Other was disabled' skips "$tree/gtest" some_test
put tests/allowed_skips.txt 'Store.Other  # needs shared/data'
report 'status="run" result="skipped"'
passes skips "$tree/gtest" some_test
put tests/allowed_skips.txt 'Store.Other' 'Store.Gone'
passes skips "$tree/gtest" some_test another_test
finds 'Store.Gone stands in tests/allowed_skips.txt' skips "$tree/gtest" some_test
put tests/allowed_skips.txt 'Store.Other'
put tests/CMakeLists.txt "set_tests_properties(x PROPERTIES SKIP_RETURN_CODE 77)"
finds 'tests/CMakeLists.txt:1' skips "$tree/gtest" some_test

[ "$failures" -eq 0 ] && echo "selftest: every check passes good trees and finds bad ones"
