#!/usr/bin/env bash
# integer_execution.sh BUILD MODEL [WINDOWS]: what integer execution does to a model's perplexity, beside the simulated
# runs in float32 and bfloat16, and how fast each is; W8A8 and W4A4 to nearest. Writes a table in Markdown.
set -euo pipefail
harness=$1/harness
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{
  echo "name = \"integer\""
  echo "model = \"$2\""
  echo "device = \"cpu\""
  echo "methods = [\"rtn\"]"
  echo "evals = [{ name = \"perplexity\", window = 2048, limit = ${3:-4} }]"
  for format in w8a8 w4a4; do
    for way in "fp32 simulated" "fp32 integer" "bf16 simulated" "bf16 integer"; do
      read -r dtype execution <<<"$way"
      printf '[[run]]\nlabel = "%s, %s, %s"\nformat = "%s"\ndtype = "%s"\nexecution = "%s"\n' \
        "$format" "$execution" "$dtype" "$format" "$dtype" "$execution"
    done
  done
} >"$folder/integer.toml"
"$harness" run "$folder/integer.toml" --db "$folder/results.sqlite" >/dev/null
echo "| run | perplexity | mean NLL | tokens/s | tokens a CPU second |"
echo "|---|---|---|---|---|"
"$harness" sql "select r.label, p.value, n.value, 2048 * p.count / a.wall_seconds,
    2048 * p.count / a.cpu_seconds
  from experiment_runs r join run_stages using (run_key) join stages s on s.key = run_stages.stage_key and s.kind = 'eval'
  join attempts a on a.stage_key = s.key and a.status = 'succeeded' join metrics p on p.attempt = a.id and p.name = 'perplexity'
  join metrics n on n.attempt = a.id and n.name = 'nll'
  order by r.position" --csv --db "$folder/results.sqlite" | tail -n +2 |
  awk -F, '{ n = NF; label = $1; for (i = 2; i <= n - 4; ++i) label = label "," $i; gsub("\"", "", label)
    printf "| %s | %.6g | %.6f | %.0f | %.0f |\n", label, $(n - 3), $(n - 2), $(n - 1), $n }'
