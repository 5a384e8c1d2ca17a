#!/usr/bin/env bash
# Packs what a GPU machine without a package network lacks to build and check ssa: the libraries of
# scripts/setup.sh as headers and libraries with small CMake packages of their own, some text, and
# the losses that the CPU got on it. Run it on x86-64 with those packages installed;
# scripts/gpu_check.sh uses the folder on the GPU machine.
#
# usage: scripts/gpu_bundle.sh [--text FILE] [--bin DIR] [--no-reference] [DIR]
#
#   DIR             folder to make (default: build/gpu_bundle, which git ignores)
#   --text FILE     plain or xz; its first 2 MB are taken. Default: Enwik8 from $SSA_DATA_DIR, else
#                   the prepared data/enwik8
#   --bin DIR       where ssa-data and ssa-train are (default: build/release/bin)
#   --no-reference  leave the CPU's losses out: gpu_check.sh then trains on its own CPU as well
set -euo pipefail

fail() { echo "gpu_bundle: $*" >&2; exit "${code:-1}"; }
text="" bin="" reference=true folder=""
while [ $# -gt 0 ]; do
  case "$1" in
    --text) text=$(realpath -m -- "${2:?--text needs a file}"); shift 2 ;;
    --bin) bin=$(realpath -m -- "${2:?--bin needs a folder}"); shift 2 ;;
    --no-reference) reference=false; shift ;;
    -h|--help) sed -n '2,15p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) code=2 fail "unknown option $1 (see --help)" ;;
    *) folder=$(realpath -m -- "$1"); shift ;;
  esac
done
cd "$(dirname "$0")/.."
bin=${bin:-$PWD/build/release/bin}
folder=${folder:-$PWD/build/gpu_bundle}
multiarch=/usr/lib/x86_64-linux-gnu
text_bytes=2000000 steps=100

[ "$(uname -m)" = x86_64 ] || fail "GPU machines are x86-64, this one is $(uname -m)"
command -v xz >/dev/null || fail "xz is missing: apt-get install xz-utils"
if $reference; then
  for program in ssa-data ssa-train; do
    [ -x "$bin/$program" ] || fail "no $bin/$program: build it (cmake --preset release &&" \
      "cmake --build --preset release), give --bin DIR, or leave it out with --no-reference"
  done
fi
if [ -z "$text" ]; then
  for candidate in ${SSA_DATA_DIR:+"$SSA_DATA_DIR"/enwik8*} data/enwik8/data.bin; do
    if [ -f "$candidate" ]; then text=$candidate; break; fi
  done
fi
[ -r "$text" ] || fail "no text: give --text FILE, or set SSA_DATA_DIR to a folder with enwik8"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/packages
mkdir -p "$prefix/include" "$prefix/lib/cmake" "$folder"

# take_headers NAME…: files or folders of /usr/include
take_headers() {
  local name
  for name in "$@"; do
    [ -e "/usr/include/$name" ] || fail "no /usr/include/$name: run scripts/setup.sh"
    cp -rL "/usr/include/$name" "$prefix/include/"
  done
}
# take_libraries FILE…: as they are called when linked and loaded
take_libraries() {
  local file
  for file in "$@"; do
    [ -e "$file" ] || fail "no $file: run scripts/setup.sh"
    cp -L "$file" "$prefix/lib/"
  done
}
# package NAME: a CMake package from standard input. ${ssa_bundle} is the folder that was unpacked.
package() {
  mkdir -p "$prefix/lib/cmake/$1"
  # shellcheck disable=SC2016 # CMake's variable
  { echo 'get_filename_component(ssa_bundle "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)'
    cat; } >"$prefix/lib/cmake/$1/$1Config.cmake"
  # As new as whoever asks wants it: the build names the versions that it is made for itself.
  echo 'set(PACKAGE_VERSION_COMPATIBLE TRUE)' >"$prefix/lib/cmake/$1/$1ConfigVersion.cmake"
}

take_headers yaml-cpp fmt spdlog CLI nlohmann catch2 oneapi archive.h archive_entry.h xxhash.h xxh3.h
(cd /usr/include && cp dnnl*.h dnnl*.hpp "$prefix/include/")
# Static where Debian has it and its own needs are few; what oneDNN and libarchive load comes along.
take_libraries "$multiarch"/lib{yaml-cpp,xxhash,archive,lzma,z,bz2,nettle}.a \
  "$multiarch"/lib{fmt.so.9,spdlog.so.1.10,dnnl.so.2,OpenCL.so.1,zstd.so.1,lz4.so.1} \
  /usr/lib/libCatch2WithMain.a
cp /usr/lib/cmake/Catch2/Catch.cmake /usr/lib/cmake/Catch2/CatchAddTests.cmake "$prefix/lib/cmake/"

package dnnl <<'END'
add_library(DNNL::dnnl SHARED IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION ${ssa_bundle}/lib/libdnnl.so.2 IMPORTED_SONAME libdnnl.so.2
  INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include
  INTERFACE_LINK_LIBRARIES "${ssa_bundle}/lib/libOpenCL.so.1;dl")
END
package yaml-cpp <<'END'
add_library(yaml-cpp STATIC IMPORTED)
set_target_properties(yaml-cpp PROPERTIES IMPORTED_GLOBAL TRUE
  IMPORTED_LOCATION ${ssa_bundle}/lib/libyaml-cpp.a
  INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
END
package fmt <<'END'
if(NOT TARGET fmt::fmt)
  add_library(fmt::fmt SHARED IMPORTED)
  set_target_properties(fmt::fmt PROPERTIES
    IMPORTED_LOCATION ${ssa_bundle}/lib/libfmt.so.9 IMPORTED_SONAME libfmt.so.9
    INTERFACE_COMPILE_DEFINITIONS FMT_SHARED INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
endif()
END
package spdlog <<'END'
include(${ssa_bundle}/lib/cmake/fmt/fmtConfig.cmake)
add_library(spdlog::spdlog SHARED IMPORTED)
set_target_properties(spdlog::spdlog PROPERTIES
  IMPORTED_LOCATION ${ssa_bundle}/lib/libspdlog.so.1.10 IMPORTED_SONAME libspdlog.so.1.10
  INTERFACE_COMPILE_DEFINITIONS "SPDLOG_SHARED_LIB;SPDLOG_COMPILED_LIB;SPDLOG_FMT_EXTERNAL"
  INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include
  INTERFACE_LINK_LIBRARIES "Threads::Threads;fmt::fmt")
END
package CLI11 <<'END'
add_library(CLI11::CLI11 INTERFACE IMPORTED)
set_target_properties(CLI11::CLI11 PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
END
package nlohmann_json <<'END'
add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
set_target_properties(nlohmann_json::nlohmann_json PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
END
package LibArchive <<'END'
add_library(LibArchive::LibArchive STATIC IMPORTED)
set_target_properties(LibArchive::LibArchive PROPERTIES
  IMPORTED_LOCATION ${ssa_bundle}/lib/libarchive.a
  INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
foreach(needed liblzma.a libz.a libbz2.a libnettle.a libzstd.so.1 liblz4.so.1)
  set_property(TARGET LibArchive::LibArchive APPEND PROPERTY
               INTERFACE_LINK_LIBRARIES ${ssa_bundle}/lib/${needed})
endforeach()
END
package Catch2 <<'END'
list(APPEND CMAKE_MODULE_PATH ${ssa_bundle}/lib/cmake)  # Catch.cmake
add_library(Catch2::Catch2 INTERFACE IMPORTED)
set_target_properties(Catch2::Catch2 PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${ssa_bundle}/include)
add_library(Catch2::Catch2WithMain STATIC IMPORTED)
set_target_properties(Catch2::Catch2WithMain PROPERTIES
  IMPORTED_LOCATION ${ssa_bundle}/lib/libCatch2WithMain.a INTERFACE_LINK_LIBRARIES Catch2::Catch2)
END
echo "gpu_bundle: packing libraries and headers"
tar -C "$scratch" --sort=name --owner=0 --group=0 --mtime=@0 -cf - packages |
  xz -6 -T1 >"$folder/packages.tar.xz"
echo "gpu_bundle: text from $text"
case "$text" in *.xz) xz -dc -- "$text" ;; *) cat -- "$text" ;; esac 2>/dev/null |
  head -c "$text_bytes" >"$scratch/text" || true  # the writer is cut off on purpose
[ -s "$scratch/text" ] || fail "$text: not plain text and not xz"
xz -9 -c "$scratch/text" >"$folder/text.xz"
git rev-parse HEAD >"$folder/commit" 2>/dev/null || echo unknown >"$folder/commit"

# The CPU's losses, step by step: the same settings as bench/gpu_train.py uses on the device.
rm -f "$folder/cpu_reference.json"
if $reference; then
  echo "gpu_bundle: the CPU's losses over $steps steps in fp32 and bf16 (minutes)"
  export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # a busy machine's threads must not spin
  python3 bench/gpu_train.py --bin "$bin" --text "$folder/text.xz" --work "$scratch/train" \
    --steps "$steps" --make-reference "$folder/cpu_reference.json"
fi
ls -l "$folder"
limit=$((12 << 20)) size=$(du -sb "$folder" | cut -f1)
[ "$size" -le "$limit" ] || fail "$folder has $size bytes, more than the $limit it may have"
