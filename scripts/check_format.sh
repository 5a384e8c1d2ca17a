#!/usr/bin/env bash
# Says which C++ files are not formatted as .clang-format says; --fix formats them. Releases of
# clang-format lay code out differently: only version 14, which Debian 12 has, can judge.
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
  echo "check_format: skipped: needs clang-format 14"
  exit 0
fi

mode=(--dry-run -Werror)
if [ "${1:-}" = --fix ]; then mode=(-i); fi
# In a container the checkout often belongs to another user, whose repositories git refuses.
git -c safe.directory="$(pwd -P)" ls-files -z -- '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -0r "$tool" "${mode[@]}"
