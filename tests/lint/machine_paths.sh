#!/usr/bin/env bash
# machine_paths.sh ROOT: no file names a folder of one machine, or the address of a package registry.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$1"
folders='(^|[^[:alnum:]_.})>*-])/(work|farm|root|home|Users|tmp)/[[:alnum:]_.]'
addresses='(pypi|pythonhosted|(deb|snapshot)[.]debian|archive[.]ubuntu)[.](org|com)'
mapfile -t files < <(source_files .)
[ ${#files[@]} -gt 0 ] || finish machine_paths 0 ""
finish machine_paths ${#files[@]} \
  "$(printf '%s\0' "${files[@]}" | xargs -0 grep -nIHE "$folders|$addresses" -- | cut -c 1-200 || true)"
