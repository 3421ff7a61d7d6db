#!/usr/bin/env bash
# Makes tables, plots and pages of results/, and README's tables, again from the dumps alone; tests/app compares them to
# the byte.
#   bash results/rebuild.sh [NAME.md...]       (default: every one with a dump, and ../README.md)
# HARNESS: another program; RESULTS: another folder.
# In a .md file a line `<!-- $ harness ... -->` is the command that writes what follows, up to `<!-- $ -->`; one with
# --out writes a file. Its third word names the experiment, whose dump is NAME.sql.gz. Text between stays.
set -euo pipefail
harness=$(realpath "${HARNESS:-$(dirname "${BASH_SOURCE[0]}")/../build/release/harness}")
cd "${RESULTS:-$(dirname "${BASH_SOURCE[0]}")}"
command -v sqlite3 >/dev/null || {
  echo "rebuild.sh: no sqlite3, which makes databases of dumps: apt-get install sqlite3" >&2
  exit 2
}
databases=$(mktemp -d)
trap 'rm -rf "$databases"' EXIT

# made COMMAND: what it prints. Its words are taken apart as in a shell, and nothing else is done to them.
made() {
  local words
  mapfile -t words < <(xargs -n 1 printf '%s\n' <<<"$1")
  local database=$databases/${words[2]}.sqlite
  if [ ! -e "$database" ]; then
    gunzip -c "${words[2]}.sql.gz" | sqlite3 "$database"
  fi
  "$harness" "${words[@]:1}" --db "$database"
}

rebuild() {
  local line inside=no
  while IFS= read -r line; do
    if [[ $line == '<!-- $ harness '*' -->' ]]; then
      printf '%s\n' "$line"
      line=${line#'<!-- $ '}
      line=${line%' -->'}
      if [[ $line == *' --out '* ]]; then
        made "$line" >/dev/null
      else
        made "$line"
        inside=yes
      fi
    elif [ "$line" = '<!-- $ -->' ]; then
      printf '%s\n' "$line"
      inside=no
    elif [ $inside = no ]; then
      printf '%s\n' "$line"
    fi
  done
  [ $inside = no ]  # else a block has no end
}

files=("$@")
if [ $# -eq 0 ]; then
  mapfile -t files < <(for dump in *.sql.gz; do echo "${dump%.sql.gz}.md"; done; echo ../README.md)
fi
for file in "${files[@]}"; do
  rebuild <"$file" >"$databases/made.md" || {
    echo "rebuild.sh: $file could not be made again: see above, or a block without its <!-- \$ -->" >&2
    exit 1
  }
  cmp -s "$databases/made.md" "$file" || cp "$databases/made.md" "$file"
  echo "$file"
done
