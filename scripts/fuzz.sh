#!/usr/bin/env bash
# Builds the fuzz targets of tests/fuzz with clang and gives each of them inputs that libFuzzer makes
# up, beginning with the files of its corpus. Inputs that it finds worth keeping stay in
# build/fuzz/corpus/TARGET.
#
# usage: scripts/fuzz.sh [--seconds N | --runs N | --corpus] [--jobs N] [TARGET...]
#
#   --seconds N  for each target (default: 60)
#   --runs N     inputs for each target
#   --corpus     only the files of the corpus
#   --jobs N     targets at a time (default: one for each processor)
#   TARGET       a file of tests/fuzz without its ending; default: all
#
# What libFuzzer prints about a target is in build/fuzz/TARGET.log.
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
jobs=$(nproc)
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --seconds) number "$@"; limit=("-max_total_time=$2"); shift ;;
    --runs) number "$@"; limit=("-runs=$2"); shift ;;
    --corpus) limit=(-runs=0) ;;
    --jobs) number "$@"; jobs=$2; shift ;;
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

# Every allocation records a few frames of its stack instead of 30, and 16 MiB of freed memory are
# watched instead of 256: inputs are small, and so many more of them fit into a minute.
export ASAN_OPTIONS=malloc_context_size=3:quarantine_size_mb=16:${ASAN_OPTIONS-}

# The size of the longest input: none of the corpus is cut.
longest() {
  local most=4096 file size
  for file in "$@"; do
    size=$(stat -c %s "$file")
    if [ "$size" -gt "$most" ]; then most=$size; fi
  done
  echo "$most"
}

# Prints one line about a target, after what libFuzzer said last if it failed.
fuzz() {
  local target=$1 found=build/fuzz/findings/$1 kept=build/fuzz/corpus/$1 log=build/fuzz/$1.log
  local dictionary=tests/fuzz/dictionaries/$1.dict began=$SECONDS
  # An input of 4 KiB has ten seconds, where good ones take milliseconds, and 1 GiB with the
  # sanitizers'. The entropic schedule would count every input's features, for a third of all time.
  local options=("${limit[@]}" -max_len="$(longest "$corpus/$target"/*)" -timeout=10
    -rss_limit_mb=1024 -malloc_limit_mb=512 -entropic=0 -print_final_stats=1
    -artifact_prefix="$found/")
  if [ -e "$dictionary" ]; then options+=(-dict="$dictionary"); fi
  mkdir -p "$found" "$kept"
  if build/fuzz/bin/ssa_fuzz_"$target" "${options[@]}" "$kept" "$corpus/$target" >"$log" 2>&1; then
    echo "fuzz: $target: $(grep -oP 'stat::number_of_executed_units: *\K.*' "$log") inputs in" \
      "$((SECONDS - began)) s"
  else
    # In one piece, since other targets may print at the same time.
    printf '%s\n%s\n' "$(tail -n 40 "$log")" \
      "fuzz: $target: $(grep -oP 'Test unit written to \K.*' "$log" || echo "see $log")"
    echo "$target" >>"$failures"
  fi
}

failures=$(mktemp)
trap 'rm -f "$program" "$failures"' EXIT
for target in "${targets[@]}"; do
  while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n; done
  fuzz "$target" &
done
wait
if [ -s "$failures" ]; then
  echo "fuzz: $(wc -l <"$failures") of ${#targets[@]} targets failed: $(paste -sd ' ' "$failures")" >&2
  exit 1
fi
