#!/usr/bin/env bash
# Runs clang-tidy 14, by .clang-tidy, on the C++ files that changed. Needs a configured build.
#
# usage: scripts/check_tidy.sh [BASE]
#
#   BASE  commit to compare the working tree with. Default: where the branch left the remote's
#         default branch; on that branch itself, or without a remote, the commit before the last.
#         Without history (a shallow clone) it checks src/core, src/data, src/dist and src/storage.
#
# Environment:
#   SSA_TIDY_BUILD    build folder with compile_commands.json (build/release)
#   SSA_TIDY_SECONDS  no further file is begun after this time (180). Files that are left out are
#                     counted.
#
# Exit code 1: clang-tidy found something.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,15p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;; esac
cd "$(dirname "$0")/.."
build=${SSA_TIDY_BUILD:-build/release}
limit=${SSA_TIDY_SECONDS:-180}

tool=""
for candidate in clang-tidy-14 clang-tidy; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
    tool=$candidate
    break
  fi
done
if [ -z "$tool" ]; then
  echo "check_tidy: skipped: needs clang-tidy 14; scripts/setup.sh installs it"
  if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
fi
if [ ! -f "$build/compile_commands.json" ]; then
  echo "check_tidy: no $build/compile_commands.json: run cmake --preset release" >&2
  exit 1
fi

# In a container the checkout often belongs to another user, whose repositories git refuses.
repository() { git -c safe.directory="$(pwd -P)" "$@"; }
commit() { repository rev-parse --quiet --verify "$1^{commit}" || true; }

base=""
if [ -n "${1:-}" ]; then
  base=$(commit "$1")
  [ -n "$base" ] || { echo "check_tidy: no commit $1 here" >&2; exit 2; }
elif [ -n "$(commit origin/HEAD)" ]; then
  base=$(repository merge-base origin/HEAD HEAD || true)
fi
if [ -z "$base" ] || { [ -z "${1:-}" ] && [ "$base" = "$(commit HEAD)" ]; }; then
  base=$(commit HEAD~1)
fi
paths=('*.cpp')
if [ -z "$base" ]; then
  base=$(repository hash-object -t tree /dev/null)  # the empty tree
  paths=('src/core/*.cpp' 'src/data/*.cpp' 'src/dist/*.cpp' 'src/storage/*.cpp')
fi

# Only what this build compiles: a build without CUDA has no flags for files of the CUDA backend.
files=()
while IFS= read -r file; do
  if grep -qF "\"file\": \"$(pwd)/$file\"" "$build/compile_commands.json"; then files+=("$file"); fi
done < <(repository diff --name-only --diff-filter=d "$base" -- "${paths[@]}")
if [ ${#files[@]} -eq 0 ]; then
  echo "check_tidy: no C++ file changed since ${base:0:12}"
  exit 0
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
# check FILE: leaves FILE.left in $results if time is up, FILE.faulty if there are findings.
check() {
  local result
  result=$results/${1//\//+}
  if [ "$SECONDS" -ge "$limit" ]; then touch "$result.left"; return; fi
  # GCC's own warning options mean nothing to clang.
  "$tool" -p "$build" --quiet --warnings-as-errors='*' --extra-arg=-Wno-unknown-warning-option \
    "$1" >"$result.messages" 2>"$result.errors" && return
  cat "$result.messages" "$result.errors" >"$result.faulty"
}

running=0
for file in "${files[@]}"; do
  if [ $running -ge "$(nproc)" ]; then wait -n; running=$((running - 1)); fi
  check "$file" &
  running=$((running + 1))
done
wait

shopt -s nullglob
left=("$results"/*.left) faulty=("$results"/*.faulty)
for file in "${faulty[@]}"; do cat "$file"; done
echo "check_tidy: $((${#files[@]} - ${#left[@]})) of ${#files[@]} files changed since ${base:0:12}" \
  "checked in ${SECONDS}s, ${#faulty[@]} of them faulty"
[ ${#faulty[@]} -eq 0 ]
