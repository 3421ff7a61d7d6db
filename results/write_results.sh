# To be sourced, from the root, by the scripts under experiments/ that make the files of results/. $database: the script's
# first argument, or results.sqlite; $harness: the program that HARNESS names, or the release build, brought up to date.
database=${1:-results/results.sqlite}
harness=${HARNESS:-build/release/harness}
[ -n "${HARNESS-}" ] || bash harness/setup/setup.sh release

# write_results NAME TITLE TEXT...: of the experiment NAME in $database results/NAME.md (TEXT, the table and the
# provenance) with what it names: NAME.csv (every digit), NAME.html (the page) and NAME.sql.gz, the dump from which
# rebuild.sh makes all but the text again. items: whose items are in it (harness report --items), of which there can be millions;
# all by default.
write_results() {
  local name=$1 title=$2 of_items=
  shift 2
  case ${items:=all} in
    first) of_items=', of items those of the first run of each label' ;;
    none) of_items=' but items' ;;
  esac
  "$harness" report "$name" --db "$database" --format sql --items "$items" | gzip -n9 >"results/$name.sql.gz"
  {
    printf '# %s\n\n' "$title"
    printf '%s\n' "$@"
    printf 'Every digit: [%s.csv](%s.csv); the page with plots and every run: [%s.html](%s.html)' "$name"{,,,}
    printf '; all that is stored%s: `gunzip -c %s.sql.gz | sqlite3 new.sqlite`.\n\n' "$of_items" "$name"
    printf '<!-- $ harness report %s --format csv --out %s.csv -->\n' "$name" "$name"
    printf '<!-- $ harness report %s --format html --out %s.html -->\n' "$name" "$name"
    made_by report "$name" --provenance
  } >"results/$name.md"
  HARNESS=$harness bash results/rebuild.sh "$name.md"
}

# made_by report NAME ...: for TEXT, the place of what this command of harness prints.
made_by() { printf '<!-- $ harness %s -->\n<!-- $ -->\n' "$*"; }

# plot NAME PLOT: for TEXT, the plot PLOT of the experiment NAME (harness plot NAME --list).
plot() {
  printf '<!-- $ harness plot %s %s --out . -->\n![%s](%s_%s.svg)\n' "$1" "$2" "$2" "$1" "$2"
}
