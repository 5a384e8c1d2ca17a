#!/usr/bin/env bash
# Checks that the CUDA backend compiles with CUDA 12, on a machine that has nvcc 13. The Python packages
# of CUDA 12 have its headers and its ptxas, but no nvcc. So nvcc 13 compiles every file against those
# headers, with warnings as errors, and the ptxas of CUDA 12 assembles the PTX. scripts/check_ptxas.sh
# then checks its register report.
#
# usage: scripts/check_cuda12.sh [RELEASE [FOLDER]]
#
#   RELEASE  12.9 (default) or 12.0
#   FOLDER   where packages and objects go (default: build/cuda12); packages in it are used again
#
# Exit code 0: everything compiles and no kernel spills. Otherwise it prints the first error.
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;; esac
cd "$(dirname "$0")/.."
release=${1:-12.9}
folder=${2:-build/cuda12}/$release
case $release in
  12.0) ptx=8.0 nccl=2.18 ;;
  12.9) ptx=8.8 nccl=2.27 ;;
  *) echo "check_cuda12: RELEASE is 12.9 or 12.0, not $release" >&2; exit 2 ;;
esac
kit=$folder/kit/nvidia

# Fetches the packages' headers and ptxas into $kit.
unpack() {
  local part wheel wanted=("nvidia-nccl-cu12==$nccl.*")
  for part in cuda-runtime cuda-nvcc cuda-cccl cublas; do
    wanted+=("nvidia-$part-cu12==$release.*")
  done
  pip download --quiet --no-deps --dest "$folder/wheels" "${wanted[@]}"
  for wheel in "$folder"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$folder/unpacked"
  done
  chmod +x "$folder/unpacked/nvidia/cuda_nvcc/bin/ptxas"
  # nvcc 13 generates one call whose arguments the headers of 12 do not take.
  sed -i 's/__cudaLaunch(fun)/__cudaLaunch(fun, ...)/' \
    "$folder/unpacked/nvidia/cuda_nvcc/include/crt/host_runtime.h"
  rm -r "$folder/wheels"
  mv "$folder/unpacked" "$folder/kit"
}
[ -d "$kit" ] || unpack

flags=(-std=c++20 -O3 -DNDEBUG -DFMT_SHARED -Iinclude -Isrc) headers=() system_headers=()
for part in cuda_runtime cuda_nvcc cuda_cccl cublas nccl; do
  headers+=("-I$kit/$part/include")
  system_headers+=(-isystem "$kit/$part/include")
done

for file in src/backend/cuda/cublaslt_matmul.cpp src/dist/nccl_communicator.cpp; do
  echo "$file"
  g++ "${flags[@]}" -Wall -Wextra -Werror "${system_headers[@]}" -fsyntax-only "$file"
done

# check_kernels FILE COMPILE…: compiles FILE to PTX and assembles it with the old ptxas.
check_kernels() {
  local file=$1 arch report
  shift
  for arch in 80 90a; do
    "$@" -arch=compute_$arch -ptx "src/backend/cuda/$file" -o "$folder/any.ptx"
    # Lower the PTX version, and drop the hints that it lacks.
    sed -i "s/^\.version 9\.[0-9]*/.version $ptx/; /used_bytes_mask/d" "$folder/any.ptx"
    report=$folder/$file.$arch.o.ptxas
    "$kit/cuda_nvcc/bin/ptxas" -v --warning-as-error -lineinfo -arch=sm_$arch "$folder/any.ptx" \
      -o "$folder/any.cubin" 2>"$report" || { cat "$report" >&2; return 1; }
  done
}

mapfile -t files < \
  <(sed -n 's/^  \([a-z0-9_]*\.\(cu\|cpp\)\))*$/\1/p' src/backend/cuda/sources.cmake)
for file in "${files[@]}"; do
  echo "$file"
  compile=(nvcc "${flags[@]}" -x cu -DFMT_USE_CONSTEXPR=1 -DFMT_CONSTEVAL= -lineinfo
    --expt-relaxed-constexpr -Werror all-warnings "-Xcompiler=-Wall,-Wextra"
    -static-global-template-stub=false "${headers[@]}")
  "${compile[@]}" -arch=sm_80 -c "src/backend/cuda/$file" -o "$folder/any.o"
  case $file in *.cu) check_kernels "$file" "${compile[@]}" ;; esac
done
scripts/check_ptxas.sh "$folder"
