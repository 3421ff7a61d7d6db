#!/usr/bin/env bash
# clones.sh PROGRAM PROGRAM...: all that print anything but "none" (clone_digests.cc) print the same.
set -euo pipefail
chosen=$("$1")
[ "$(wc -l <<<"$chosen")" -gt 50 ]
compared=0
for program in "${@:2}"; do
  found=$("$program")
  if [ "$found" = none ]; then
    echo "$program: this processor lacks its instructions"
    continue
  fi
  diff <(echo "$chosen") <(echo "$found") || {
    echo "$program gives other bits than $1"
    exit 1
  }
  compared=$((compared + 1))
done
[ "$compared" -ge 1 ]  # plain x86-64 at least
echo "$compared forms give the same bits"
