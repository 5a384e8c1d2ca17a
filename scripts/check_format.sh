#!/usr/bin/env bash
# Lists C++ files that do not follow .clang-format; --fix formats them. Releases of clang-format
# differ, so only version 14, the one of Debian 12, will do.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=""
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
    tool=$candidate
    break
  fi
done
if [ -z "$tool" ]; then
  echo "check_format: skipped: needs clang-format 14; scripts/setup.sh installs it"
  if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
fi

mode=(--dry-run -Werror)
if [ "${1:-}" = --fix ]; then mode=(-i); fi
# In a container the checkout often belongs to another user, whose repositories git refuses.
git -c safe.directory="$(pwd -P)" ls-files -z -- '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -0r "$tool" "${mode[@]}"
