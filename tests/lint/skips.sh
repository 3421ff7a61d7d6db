#!/usr/bin/env bash
# skips.sh ROOT REPORTS TEST...: reads the GoogleTest reports REPORTS/TEST.xml that the tests of this run wrote,
# and fails where a test was skipped or disabled that tests/allowed_skips.txt does not list; where all reports
# are there, also where the list names a test that does not exist. Skips of ctest's own would leave no report,
# so no CMake file may ask for them. Fails where it finds no report at all.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
reports=$2
shift 2

# Prints "SUITE.TEST skipped|disabled|ran" for each test case of the reports.
cases() {
  sed -nE 's/^ *<testcase name="([^"]*)" (.*)classname="([^"]*)".*/\3.\1 \2/p' "$@" |
    awk '{ print $1, /result="skipped"/ ? "skipped" : /status="notrun"/ ? "disabled" : "ran" }'
}

found=()
for test in "$@"; do
  [ ! -f "$reports/$test.xml" ] || found+=("$reports/$test.xml")
done
[ ${#found[@]} -gt 0 ] || finish skips 0 ""
ran=$(cases "${found[@]}")
[ -n "$ran" ] || finish skips 0 ""
allowed=$(sed -e 's/[[:space:]]*#.*//' -e '/^$/d' tests/allowed_skips.txt)
findings=$(
  while read -r name state; do
    [ "$state" = ran ] || grep -qxF -e "$name" <<<"$allowed" ||
      echo "$name was $state, and tests/allowed_skips.txt does not list it"
  done <<<"$ran"
  if [ ${#found[@]} -eq $# ] && [ -n "$allowed" ]; then
    grep -vxF -e "$(cut -d ' ' -f 1 <<<"$ran")" <<<"$allowed" |
      sed 's/$/ stands in tests\/allowed_skips.txt, but there is no such test/' || true
  fi
  source_files . | grep -E '(CMakeLists\.txt|\.cmake)$' | tr '\n' '\0' |
    xargs -0 -r grep -nHE 'SKIP_(RETURN_CODE|REGULAR_EXPRESSION)|DISABLED (TRUE|ON|1)' || true
)
finish skips ${#found[@]} "$findings"
