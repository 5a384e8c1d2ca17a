#!/usr/bin/env bash
# Builds the fuzz targets of tests/fuzz with clang and gives each of them inputs that libFuzzer makes
# up, beginning with the files of its corpus. Inputs that it finds worth keeping stay in
# build/fuzz/corpus/TARGET.
#
# usage: scripts/fuzz.sh [--seconds N | --runs N | --corpus] [TARGET...]
#
#   --seconds N  for each target (default: 60)
#   --runs N     inputs for each target
#   --corpus     only the files of the corpus
#   TARGET       a file of tests/fuzz without its ending; default: all
#
# SSA_CMAKE_ARGS: more arguments for CMake's configure step.
#
# Exit code 1: a target found an input at which it crashes, hangs, leaks, or takes too much memory.
# Its file is named; it stays in build/fuzz/findings/TARGET. Exit code 77: clang has no libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=(-max_total_time=60)
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) sed -n '2,18p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    --seconds) limit=("-max_total_time=${2:?--seconds needs a number}"); shift ;;
    --runs) limit=("-runs=${2:?--runs needs a number}"); shift ;;
    --corpus) limit=(-runs=0) ;;
    -*) echo "fuzz: unknown option $1; --help lists them" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
corpus=tests/fuzz/corpus
if [ ${#targets[@]} -eq 0 ]; then
  for folder in "$corpus"/*/; do targets+=("$(basename "$folder")"); done
fi
for target in "${targets[@]}"; do
  [ -d "$corpus/$target" ] || { echo "fuzz: no target $target; there are: $(ls "$corpus")" >&2; exit 2; }
done

program=$(mktemp)
trap 'rm -f "$program"' EXIT
if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer -x c++ - -o "$program" 2>/dev/null; then
  echo "fuzz: skipped: no clang++ with libFuzzer; scripts/setup.sh installs it"
  exit 77
fi

# The last words are the preset's: a machine's arguments are for the compiler and the ranks of the tests.
# shellcheck disable=SC2086 # several arguments on purpose
cmake --preset fuzz ${SSA_CMAKE_ARGS:-} -DSSA_MPI=OFF -DSSA_GLOO=OFF -DSSA_WARNINGS_AS_ERRORS=OFF >/dev/null
cmake --build build/fuzz --target "${targets[@]/#/ssa_fuzz_}"

failed=()
for target in "${targets[@]}"; do
  found=build/fuzz/findings/$target
  kept=build/fuzz/corpus/$target
  log=build/fuzz/$target.log
  mkdir -p "$found" "$kept"
  # An input of 4 KiB has a second, where good ones take milliseconds, and 1 GiB with the sanitizers'.
  if build/fuzz/bin/ssa_fuzz_"$target" "${limit[@]}" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
      -malloc_limit_mb=512 -print_final_stats=1 -artifact_prefix="$found/" "$kept" "$corpus/$target" \
      >"$log" 2>&1; then
    echo "fuzz: $target: $(grep -oP 'stat::number_of_executed_units: *\K.*' "$log") inputs"
  else
    failed+=("$target")
    tail -n 40 "$log"
    echo "fuzz: $target: $(grep -oP 'Test unit written to \K.*' "$log" || echo "see $log")"
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: ${#failed[@]} of ${#targets[@]} targets failed: ${failed[*]}" >&2
  exit 1
fi
