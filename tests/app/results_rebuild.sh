#!/usr/bin/env bash
# results_rebuild.sh HARNESS ROOT: every committed table, plot and page that has a dump comes out of that dump again, to
# the byte; so do README's tables.
set -euo pipefail
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/results"
cp "$2/README.md" "$copy"
cp "$2"/results/*.md "$2"/results/*.sql.gz "$copy/results"
cp -r "$2/results/queries" "$copy/results"
HARNESS=$1 RESULTS=$copy/results bash "$2/results/rebuild.sh" >"$copy/made.txt"
[ -s "$copy/made.txt" ]  # no dump, no proof
status=0
while IFS= read -r file; do
  diff -q "$file" "$2/${file#"$copy"/}" || status=1
done < <(find "$copy" -maxdepth 2 -type f ! -name made.txt)
[ $status = 0 ] || echo "results/ or README.md is not what the dumps give: bash results/rebuild.sh makes it again"
exit $status
