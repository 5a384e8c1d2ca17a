#!/usr/bin/env bash
# Says which C++ files are not formatted as .clang-format says; --fix formats them.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run -Werror)
if [ "${1:-}" = --fix ]; then mode=(-i); fi
git ls-files -z -- '*.cpp' '*.h' | xargs -0 clang-format "${mode[@]}"
