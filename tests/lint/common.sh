# What the checks of this folder share. Each takes the root of a source tree and prints what breaks its rule,
# one finding a line; exit status 0: nothing found, 1: findings, or no file to look at (a check that sees
# nothing must not pass).
set -euo pipefail

# Prints the paths below ROOT that git tracks or would track; every file where ROOT is no git checkout.
source_files() {
  local git=(git -c safe.directory='*' -C "$1")
  if [ "$("${git[@]}" rev-parse --show-toplevel 2>/dev/null)" = "$(realpath "$1")" ]; then
    "${git[@]}" ls-files --cached --others --exclude-standard --deduplicate |
      (cd "$1" && while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done)
  else
    (cd "$1" && find . \( -path ./build -o -path ./.git \) -prune -o -type f -printf '%P\n' | sort)
  fi
}

# finish CHECK COUNT FINDINGS: prints the findings or how much was looked at, and exits.
finish() {
  if [ "$2" -eq 0 ]; then
    echo "$1: found no file to check"
    exit 1
  fi
  if [ -n "$3" ]; then
    printf '%s\n' "$3"
    exit 1
  fi
  echo "$1: $2 files, nothing found"
  exit 0
}
