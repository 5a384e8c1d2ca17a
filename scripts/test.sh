#!/usr/bin/env bash
# Sets up, builds and runs the whole test suite.
#
# usage: scripts/test.sh [--preset release|debug|asan|tsan] [ctest options...]
#
# SSA_CMAKE_ARGS: more arguments for CMake's configure step.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release
case "${1:-}" in
  -h|--help) sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  --preset) preset=${2:?--preset needs a name}; shift 2 ;;
esac

scripts/setup.sh
# shellcheck disable=SC2086 # several arguments on purpose
cmake --preset "$preset" ${SSA_CMAKE_ARGS:-} >/dev/null
cmake --build --preset "$preset"
# Waiting threads sleep instead of spinning: several tests share the cores.
OMP_WAIT_POLICY=passive ctest --preset "$preset" --parallel "$(nproc)" "$@"
