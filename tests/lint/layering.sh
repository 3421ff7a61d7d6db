#!/usr/bin/env bash
# layering.sh ROOT: the direction of the #include lines in harness/, methods/ and evals/ (layering.awk).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
rules=$(realpath "$(dirname "${BASH_SOURCE[0]}")/layering.awk")
cd "$1"
mapfile -t files < <(source_files . | grep -E '^(harness|methods|evals)/.*\.(h|cc|cu|cuh)$')
[ ${#files[@]} -gt 0 ] || finish layering 0 ""
finish layering ${#files[@]} "$(awk -f "$rules" "${files[@]}")"
