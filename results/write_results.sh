# To be sourced by the scripts under experiments/ that make the files of results/.
# write_results NAME TITLE TEXT...: of the experiment NAME in $database, results/NAME.md (the table, with TEXT before it
# and the provenance after), NAME.csv (every digit) and NAME.sql.gz: everything but texts, and with dump=--no-items but
# items, of which there can be millions.
write_results() {
  local name=$1 title=$2
  shift 2
  {
    printf '# %s\n\n' "$title"
    printf '%s\n' "$@"
    printf 'Every digit: [%s.csv](%s.csv)' "$name" "$name"
    printf '; all that is stored%s: `gunzip -c %s.sql.gz | sqlite3 new.sqlite`.\n\n' "${dump:+ but items}" "$name"
    "$harness" report "$name" --db "$database" --provenance
  } >"results/$name.md"
  "$harness" report "$name" --db "$database" --format csv --out "results/$name.csv"
  "$harness" report "$name" --db "$database" --format sql ${dump:+"$dump"} | gzip -n9 >"results/$name.sql.gz"
}
