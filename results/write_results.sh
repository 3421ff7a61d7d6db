# To be sourced by the scripts under experiments/ that make the files of results/.
# write_results NAME TITLE TEXT...: of the experiment NAME in $database results/NAME.md (TEXT, the table and the
# provenance) with what it names: NAME.csv (every digit), NAME.html (the page) and, unless dump=no, NAME.sql.gz, from
# which rebuild.sh makes all but the text again.
write_results() {
  local name=$1 title=$2
  shift 2
  [ "${dump-yes}" = no ] || "$harness" report "$name" --db "$database" --format sql | gzip -n9 >"results/$name.sql.gz"
  {
    printf '# %s\n\n' "$title"
    printf '%s\n' "$@"
    printf 'Every digit: [%s.csv](%s.csv); the page with plots and every run: [%s.html](%s.html)' "$name"{,,,}
    [ "${dump-yes}" = no ] || printf '; all that is stored: `gunzip -c %s.sql.gz | sqlite3 new.sqlite`' "$name"
    printf '.\n\n'
    printf '<!-- $ harness report %s --format csv --out %s.csv -->\n' "$name" "$name"
    printf '<!-- $ harness report %s --format html --out %s.html -->\n' "$name" "$name"
    made_by report "$name" --provenance
  } >"results/$name.md"
  HARNESS=$harness DATABASE=$database bash results/rebuild.sh "$name.md"
}

# made_by report NAME ...: for TEXT, the place of what this command of harness prints.
made_by() { printf '<!-- $ harness %s -->\n<!-- $ -->\n' "$*"; }

# plot NAME PLOT: for TEXT, the plot PLOT of the experiment NAME (harness plot NAME --list).
plot() {
  printf '<!-- $ harness plot %s %s --out . -->\n![%s](%s_%s.svg)\n' "$1" "$2" "$2" "$1" "$2"
}
