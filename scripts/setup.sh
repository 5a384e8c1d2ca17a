#!/usr/bin/env bash
# Installs every package that building, testing and running ssa needs, through apt. This list is the
# only one. Running it again changes nothing; when all are there, no network is needed.
set -euo pipefail

packages=(
  # build tools; ccache and lld only make it faster; the clang tools (version 14) check the style
  build-essential cmake ninja-build git ccache lld clang-format clang-tidy
  # libraries (docs/reference/dependencies.md says what each is for)
  libdnnl-dev ocl-icd-opencl-dev  # oneDNN; Debian's CMake package of it asks for OpenCL's headers
  libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev libarchive-dev
  zlib1g-dev libxxhash-dev libjpeg-dev libpng-dev catch2
  libopenmpi-dev openmpi-bin  # MPI, and mpirun
  libgloo-dev  # ranks without MPI
  librdkit-dev libboost-dev  # molecules; RDKit's headers need Boost's
  libboost-context-dev  # fibers, for the tests that run CUDA kernels without a GPU
  clang libclang-rt-dev libomp-dev  # scripts/fuzz.sh: libFuzzer and its sanitizers, OpenMP for clang
  iproute2  # scripts/check_hosts.py: network namespaces
  shellcheck python3  # .ci/run: checks of scripts, and those in bench/
  # the quickstart's download
  curl ca-certificates
)

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "setup: no apt-get here. Install the equivalents of: ${missing[*]}" >&2
  exit 1
fi

run_as_root=()
if [ "$(id -u)" -ne 0 ]; then run_as_root=(sudo); fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${run_as_root[@]}" apt-get update -qq
# Distributions whose clang tools are newer may have 14 beside them; else the checks skip.
for tool in clang-format clang-tidy; do
  if [[ " ${missing[*]} " == *" $tool "* ]] && apt-cache show "$tool-14" >/dev/null 2>&1; then
    missing+=("$tool-14")
  fi
done
"${run_as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
