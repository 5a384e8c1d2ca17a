#!/usr/bin/env bash
# Builds ssa from the checkout around this script, and installs it: the one step of the images that
# Dockerfile and ssa.def describe.
#
# usage: containers/install.sh PRESET PREFIX
#
#   PRESET  release: for processors; cuda: for NVIDIA GPUs too, on a base image that has nvcc
#   PREFIX  where programs, libraries and configs go
#
# SSA_CMAKE_ARGS has more arguments for CMake.
set -euo pipefail

preset=${1:?usage: containers/install.sh PRESET PREFIX} prefix=${2:?usage: containers/install.sh PRESET PREFIX}
cd "$(dirname "$0")/.."
scripts/setup.sh
# shellcheck disable=SC2086 # several arguments on purpose
cmake --preset "$preset" -DSSA_BUILD_TESTS=OFF ${SSA_CMAKE_ARGS:-}
cmake --build "build/$preset"
cmake --install "build/$preset" --prefix "$prefix"
rm -rf "build/$preset"
"$prefix/bin/ssa-train" --version
