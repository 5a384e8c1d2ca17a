# Every third-party package, how it is found, and what it is for (docs/reference/dependencies.md
# says the same at more length). Nothing is vendored or downloaded; scripts/setup.sh installs them.

set(SSA_INSTALL_HINT "run scripts/setup.sh, which installs every dependency")

macro(ssa_require package what)
  find_package(${package} ${ARGN})
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "${package} not found (${what}): ${SSA_INSTALL_HINT}")
  endif()
endmacro()

find_package(Threads REQUIRED)
ssa_require(OpenMP "threads in the CPU kernels" COMPONENTS CXX)
ssa_require(dnnl "oneDNN, matrix multiplication on CPUs")       # 2.6 and 3.x
ssa_require(yaml-cpp "YAML configs")                             # 0.7
ssa_require(fmt "message formatting")                            # 9
ssa_require(spdlog "log messages")                               # 1.10
ssa_require(CLI11 "command lines")                               # 2.1
ssa_require(nlohmann_json "JSON files")                          # 3.11
ssa_require(LibArchive "packed data sets: zip gz xz zst tar")    # 3.6

# xxHash ships no CMake package on Debian 12.
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
if(NOT XXHASH_INCLUDE_DIR OR NOT XXHASH_LIBRARY)
  message(FATAL_ERROR "xxHash not found (checkpoint checksums): ${SSA_INSTALL_HINT}")
endif()
add_library(ssa_xxhash INTERFACE)
target_include_directories(ssa_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_link_libraries(ssa_xxhash INTERFACE ${XXHASH_LIBRARY})

if(NOT TARGET yaml-cpp::yaml-cpp)  # yaml-cpp before 0.8 exports the plain name
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

if(SSA_BUILD_TESTS)
  ssa_require(Catch2 "unit tests" 2)
endif()
