#!/usr/bin/env bash
# Runs experiments/quickstart.toml twice from nothing, training included, and compares every stored digit. Some 5
# minutes on 2 idle cores; not part of the fast tests, which do the same with a shorter training. Writes
# results/quickstart.md.
#   bash tests/setup/quickstart_twice.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# HARNESS: a program that is built already, instead of build/release/harness.
harness=${HARNESS:-build/release/harness}
[ -n "${HARNESS-}" ] || bash harness/setup/setup.sh release >&2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for turn in 1 2; do
  start=$SECONDS
  HARNESS_CACHE="$scratch/cache$turn" "$harness" run experiments/quickstart.toml --db "$scratch/$turn.sqlite" >"$scratch/$turn.txt"
  seconds[turn]=$((SECONDS - start))
  "$harness" sql "select label, metric, value, standard_error from results order by 1, 2" --csv --db "$scratch/$turn.sqlite" >"$scratch/$turn.csv"
  "$harness" sql "select series, step, value from curves order by 1, 2, 3" --csv --db "$scratch/$turn.sqlite" >>"$scratch/$turn.csv"
done
if cmp -s "$scratch/1.csv" "$scratch/2.csv"; then verdict="equal to the last digit"; else verdict="**not equal**"; fi
{
  printf '# The quickstart, twice from nothing\n\nCommand: `bash tests/setup/quickstart_twice.sh` (program built before; commit %s).\n\n' \
    "$("$harness" --version | sed -E 's/.*\(([0-9a-f]{12})[0-9a-f]*/\1/; s/\)$//')"
  printf 'Training included, the two runs took %s s and %s s on %s cores of %s.\n' \
    "${seconds[1]}" "${seconds[2]}" "$(nproc)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
  printf 'Their %s metrics and %s points of learning curves are %s.\n\n```\n' \
    "$(grep -cE '^[^,]+,[a-z]' "$scratch/1.csv")" "$(grep -cE '^[a-z_]+,[0-9]' "$scratch/1.csv")" "$verdict"
  cat "$scratch/1.txt"
  printf '```\n'
} >results/quickstart.md
cat results/quickstart.md
[ "$verdict" = "equal to the last digit" ]
