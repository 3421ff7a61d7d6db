#!/usr/bin/env bash
# engine_overhead.sh BUILD [ARGUMENT...]: which share of a quickstart run is not work on models, that is outside of
# its attempts: start-up, planning, storing, the table. With the pair trained before; ARGUMENTs go to `harness run`.
set -euo pipefail
harness=$1/harness
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
experiment=$(dirname "${BASH_SOURCE[0]}")/../../experiments/quickstart.toml
export HARNESS_CACHE=$folder/cache # nothing that was kept before but the pair
"$harness" generate pair:world/aligned "ann lives in" >/dev/null
begin=$(date +%s.%N)
"$harness" run "$experiment" --db "$folder/results.sqlite" "${@:2}" >/dev/null
end=$(date +%s.%N)
within=$("$harness" sql "select sum(wall_seconds) as s from attempts" --csv --db "$folder/results.sqlite" | tail -1)
awk -v begin="$begin" -v end="$end" -v within="$within" 'BEGIN {
  all = end - begin
  printf "%.2f s, %.2f s of them in attempts: %.2f %% outside\n", all, within, 100 * (all - within) / all }'
