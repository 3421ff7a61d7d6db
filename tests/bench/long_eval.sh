#!/usr/bin/env bash
# long_eval.sh HARNESS MODEL [TASK [SECONDS]]: a task of thousands of items (default hellaswag, all 10,042), killed by
# SIGKILL after SECONDS (default 300) and started again: how far it was, and its resident memory, ten times each; how much
# the kill cost. Prints Markdown; results/hellaswag.md is what it printed. Needs no idle machine.
set -euo pipefail
harness=$1 model=$2 task=${3:-hellaswag} seconds=${4:-300}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

begin() {
  "$harness" eval "$model" --evals zeroshot --set "evals.zeroshot.tasks=[\"$task\"]" --db "$folder/results.sqlite" \
    >>"$folder/log" 2>&1 &
  process=$!
}
progress() { grep -o "$task: [0-9]*/[0-9]*" "$folder/log" | tail -1 | cut -d' ' -f2 || true; }
# watch PERIOD SECONDS: samples of the process until it ends, at most so many seconds
watch() {
  local from=$SECONDS
  while [ $((SECONDS - from)) -lt "$2" ] && sleep "$1" && kill -0 "$process" 2>/dev/null; do
    printf '| %s | %s | %s | %.0f |\n' "$part" $((SECONDS - from)) "$(progress)" \
      "$(awk '/VmRSS/ { print $2 / 1000 }' "/proc/$process/status")"
  done
}

printf '| run | seconds | items | resident MB |\n|---|---|---|---|\n'
part='until the kill'
begin
watch $((seconds / 10)) "$seconds"
kill -9 "$process"
wait "$process" 2>/dev/null || true
before=$(progress)
: >"$folder/log"
part=again
begin
watch $((seconds / 5)) 100000
wait "$process"
printf '\nKilled at %s. The second run began with: `%s`. Its end:\n\n```\n' "$before" \
  "$(grep -m1 "$task: " "$folder/log" || true)"
"$harness" sql --db "$folder/results.sqlite" "SELECT s.protocol, m.name, m.value, m.standard_error, m.count, \
  a.peak_memory_bytes / 1e6 AS peak_MB FROM metrics m JOIN attempts a ON a.id = m.attempt JOIN stages s ON s.key = a.stage_key \
  WHERE s.kind = 'eval' AND a.status = 'succeeded' ORDER BY m.position"
printf '```\n'
