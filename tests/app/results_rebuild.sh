#!/usr/bin/env bash
# results_rebuild.sh HARNESS ROOT: every committed table, plot and page that has a dump comes out of that dump again, to
# the byte.
set -euo pipefail
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp "$2"/results/*.md "$2"/results/*.sql.gz "$copy"
cp -r "$2/results/queries" "$copy"
HARNESS=$1 RESULTS=$copy bash "$2/results/rebuild.sh" >"$copy/made.txt"
[ -s "$copy/made.txt" ]  # no dump, no proof
status=0
while IFS= read -r file; do
  diff -q "$file" "$2/results/${file#"$copy"/}" || status=1
done < <(find "$copy" -maxdepth 1 -type f ! -name made.txt)
[ $status = 0 ] || echo "results/ is not what its dumps give: bash results/rebuild.sh makes it again"
exit $status
