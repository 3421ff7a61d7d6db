#!/usr/bin/env bash
# golden_files.sh ROOT REPORTS TEST...: no orphans under tests/golden. Every test writes the names of the golden
# files and folders it opens into REPORTS/TEST.golden (harness::test::golden); a file that none of them opened,
# nor a folder that holds it, is a finding. A test that was skipped opens nothing: in such a run it is enough that
# a test source names the file, with or without its ending. Generators (.py) and the records of their versions are
# not opened. Says nothing after a run of some tests only.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
reports=$2
shift 2
mapfile -t golden < <(source_files . | sed -n 's/^tests\/golden\///p')
[ ${#golden[@]} -gt 0 ] || finish golden_files 0 ""
opened=()
skipped=no
for test in "$@"; do
  if [ ! -f "$reports/$test.xml" ]; then
    echo "golden_files: $test has not run, so what it opens is not known"
    exit 0
  fi
  ! grep -q 'result="skipped"' "$reports/$test.xml" || skipped=yes
  [ ! -f "$reports/$test.golden" ] || opened+=("$reports/$test.golden")
done
named_in_a_test() {
  local name=${1##*/}
  source_files . | grep -E '^tests/.*[.](h|cc)$' | tr '\n' '\0' |
    xargs -0 -r grep -qE "[\"/](${name//./[.]}|${name%.*})\""
}

finish golden_files ${#golden[@]} "$(
  printf '%s\n' "${golden[@]}" | { grep -vE '(\.py|/metadata\.json|/versions\.json)$' || true; } |
    awk 'FILENAME != "-" { sub(/\/+$/, ""); opened[$0] = 1; next }
      {
        for (path = $0; !(path in opened) && sub(/\/[^\/]*$/, "", path);) continue
        if (!(path in opened)) print
      }' ${opened[@]+"${opened[@]}"} - |
    while IFS= read -r file; do
      [ "$skipped" = yes ] && named_in_a_test "$file" || echo "tests/golden/$file: no test opens it"
    done
)"
