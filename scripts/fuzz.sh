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
# Exit code 1: a target does not build, or found an input at which it crashes, hangs, leaks, or takes
# too much memory. The file of an input is named; it stays in build/fuzz/findings/TARGET. 2: a wrong
# option. 77: clang has no libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
refuse() { echo "fuzz: $*" >&2; exit 2; }
# libFuzzer takes 0 and what is no number for "without end".
number() { [[ ${2-} =~ ^[1-9][0-9]*$ ]] || refuse "$1 takes a number from 1 up, not '${2-}'"; }

limit=(-max_total_time=60)
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --seconds) number "$@"; limit=("-max_total_time=$2"); shift ;;
    --runs) number "$@"; limit=("-runs=$2"); shift ;;
    --corpus) limit=(-runs=0) ;;
    -*) refuse "unknown option $1 (see --help)" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
corpus=tests/fuzz/corpus
all=()
for folder in "$corpus"/*/; do all+=("$(basename "$folder")"); done
if [ ${#targets[@]} -eq 0 ]; then targets=("${all[@]}"); fi
for target in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $target "* ]] || refuse "no target '$target'; there are: ${all[*]}"
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
