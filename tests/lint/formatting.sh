#!/usr/bin/env bash
# formatting.sh ROOT: every C++ source is as clang-format 14 writes it (.clang-format). The version is pinned,
# because others break lines differently; the set-up installs it.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
formatter=$(command -v clang-format-14 || command -v clang-format || true)
case $([ -z "$formatter" ] || "$formatter" --version) in
  *"version 14."*) ;;
  *)
    echo "formatting: needs clang-format 14, found ${formatter:-none}: install the package clang-format-14"
    exit 1
    ;;
esac
mapfile -t files < <(source_files . | grep -E '\.(h|cc|cu|cuh)$')
[ ${#files[@]} -gt 0 ] || finish formatting 0 ""
findings=$(printf '%s\0' "${files[@]}" |
  { xargs -0 -n 16 -P "$(nproc)" "$formatter" --style=file --dry-run -Werror 2>&1 || true; } |
  sed -nE 's/^([^:]+):[0-9]+:[0-9]+: (error|warning): .*/\1: not formatted/p' | sort -u)
finish formatting ${#files[@]} "${findings:+$findings
$formatter -i FILE mends them.}"
