#!/usr/bin/env bash
# golden_files.sh ROOT: no orphans under tests/golden/TOPIC. A test source names the file; or the subfolder of
# the topic that holds it, which it then opens whole; or a metadata file (.json) of the topic, itself named by a
# test source, names it. Generators (.py) stand beside what they made.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
mapfile -t golden < <(source_files . | grep '^tests/golden/')
[ ${#golden[@]} -gt 0 ] || finish golden_files 0 ""
tests=$(source_files . | grep -E '^tests/.*\.(h|cc|cu)$' | tr '\n' '\0' | xargs -0 -r cat)

# Whether TEXT names NAME as a whole word of a path.
names() { grep -qE "(^|[^[:alnum:]_.-])${2//./[.]}($|[^[:alnum:]_-])" <<<"$1"; }

named() {
  local path=${1#tests/golden/} folder metadata
  names "$tests" "${path##*/}" && return
  for ((folder = 1; folder; )); do
    path=${path%/*}
    case $path in */*) names "$tests" "${path##*/}" && return ;; *) folder=0 ;; esac
  done
  for metadata in "tests/golden/$path"/*.json; do
    [ "$metadata" != "$1" ] && [ -f "$metadata" ] && names "$tests" "${metadata##*/}" &&
      names "$(cat "$metadata")" "${1##*/}" && return
  done
  return 1
}

findings=$(for file in "${golden[@]}"; do
  case $file in *.py) continue ;; esac
  named "$file" || echo "$file: no test opens it"
done)
finish golden_files ${#golden[@]} "$findings"
