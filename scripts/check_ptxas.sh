#!/usr/bin/env bash
# Fails if a CUDA kernel spills registers to memory, which costs more than any other mistake in it.
# Reads the reports that a build with SSA_CUDA=ON writes beside its objects.
# usage: scripts/check_ptxas.sh [--table] [BUILD_FOLDER]; --table prints every kernel's registers.
set -euo pipefail
cd "$(dirname "$0")/.."
table=0
if [ "${1:-}" = "--table" ]; then table=1; shift; fi
folder=${1:-build/cuda}

# Kernels that may spill, one extended regular expression per line, for their names.
allowed=()

mapfile -t reports < <(find "$folder" -name '*.o.ptxas' | sort)
if [ ${#reports[@]} -eq 0 ]; then
  echo "check_ptxas: no reports in $folder: build it with -DSSA_CUDA=ON" >&2
  exit 1
fi

# One line per kernel: architecture, registers, stack bytes, spill bytes, name.
kernels=$(awk '
  /Compiling entry function/ { split($0, part, "\047"); name = part[2]; arch = part[4]; kernel = 1 }
  /Function properties for/ { of = $NF }
  /bytes stack frame/ && kernel && of == name { stack = $1; spill = $5 + $9 }
  /Used [0-9]+ registers/ && kernel {
    for (i = 1; i < NF; i++) if ($i == "Used") used = $(i + 1)
    print arch, used, stack, spill, name
    kernel = 0
  }' "${reports[@]}" | sort -u | c++filt | sed 's,(anonymous namespace)::,,g; s,ssa::\(cuda::\)\?,,g')

if [ $table -eq 1 ]; then
  printf '%-8s %9s %6s %6s  %s\n' arch registers stack spill kernel
  while read -r arch used stack spill name; do
    printf '%-8s %9s %6s %6s  %s\n' "$arch" "$used" "$stack" "$spill" "$name"
  done <<<"$kernels"
fi

bad=0
while read -r arch used stack spill name; do
  [ "$spill" -eq 0 ] && continue
  for pattern in ${allowed[@]+"${allowed[@]}"}; do
    if [[ $name =~ $pattern ]]; then continue 2; fi
  done
  echo "check_ptxas: $arch: $spill bytes spilled (of $used registers) by $name" >&2
  bad=1
done <<<"$kernels"
if [ $bad -eq 0 ]; then echo "check_ptxas: $(wc -l <<<"$kernels") kernels, none spills"; fi
exit $bad
