#!/usr/bin/env bash
# shell_syntax.sh ROOT: every shell script parses.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
mapfile -t files < <(source_files . | grep -E '(\.sh|^\.ci/run)$')
[ ${#files[@]} -gt 0 ] || finish shell_syntax 0 ""
finish shell_syntax ${#files[@]} "$(for file in "${files[@]}"; do bash -n "$file" 2>&1 || true; done)"
