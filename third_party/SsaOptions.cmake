# Build options, compiler flags and build accelerators.

# Molecules from SMILES strings. SSA_WITH_RDKIT has the result.
set(SSA_RDKIT "AUTO" CACHE STRING "RDKit: ON, OFF, or AUTO: if it is there")
set_property(CACHE SSA_RDKIT PROPERTY STRINGS AUTO ON OFF)
# Several GPUs. SSA_WITH_NCCL has the result.
set(SSA_NCCL "AUTO" CACHE STRING "NCCL: ON, OFF, or AUTO: if CUDA is built for and NCCL is there")
set_property(CACHE SSA_NCCL PROPERTY STRINGS AUTO ON OFF)
# Several processes by mpirun or srun. SSA_WITH_MPI has the result.
set(SSA_MPI "AUTO" CACHE STRING "MPI: ON, OFF, or AUTO: if there is one")
set_property(CACHE SSA_MPI PROPERTY STRINGS AUTO ON OFF)
# Several processes by environment variables alone. SSA_WITH_GLOO has the result.
set(SSA_GLOO "AUTO" CACHE STRING "Gloo: ON, OFF, or AUTO: if it is there")
set_property(CACHE SSA_GLOO PROPERTY STRINGS AUTO ON OFF)
# The CUDA backend. Its kernels take minutes to compile, so AUTO means ON only on a machine with a
# GPU and a CUDA compiler. SSA_WITH_CUDA has the result.
set(SSA_CUDA "AUTO" CACHE STRING "CUDA backend: ON, OFF, or AUTO: if this machine has a GPU and nvcc")
set_property(CACHE SSA_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SSA_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual" CACHE STRING
    "GPUs to compile for, as in CMAKE_CUDA_ARCHITECTURES; a -virtual one covers all that come after")
option(SSA_BUILD_TESTS "Build the test suite" ON)
option(SSA_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" OFF)
option(SSA_FUZZ "Build only the fuzz targets of tests/fuzz, with clang (preset fuzz)" OFF)
set(SSA_SANITIZE "" CACHE STRING "Sanitizers to build with, for example address,undefined")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(SSA_CCACHE ccache)
if(SSA_CCACHE)
  # One cache serves every checkout: paths count from the checkout's root.
  set(SSA_CCACHE_COMMAND ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
                         CCACHE_NOHASHDIR=1 ${SSA_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${SSA_CCACHE_COMMAND})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SSA_CCACHE_COMMAND})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${SSA_CCACHE_COMMAND})
endif()
find_program(SSA_LLD NAMES ld.lld)
if(SSA_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# For C++ only; nvcc's options are in src/backend/cuda/CMakeLists.txt.
macro(ssa_cxx_options)
  foreach(option ${ARGN})
    add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:${option}>)
  endforeach()
endmacro()
ssa_cxx_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                -Wcast-qual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  ssa_cxx_options(-Wno-restrict)  # GCC 12 warns of std::string's own inlined copies
endif()
if(SSA_WARNINGS_AS_ERRORS)
  ssa_cxx_options(-Werror)
endif()
# Results must not depend on which instructions the compiler happens to contract, and plans are
# drawn with the same bits everywhere. Kernels that want fused multiply-add request it.
ssa_cxx_options(-ffp-contract=off)
if(SSA_SANITIZE)
  ssa_cxx_options(-fsanitize=${SSA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    ssa_cxx_options(-Wno-maybe-uninitialized)  # instrumented code misleads GCC's analysis
  endif()
  add_link_options(-fsanitize=${SSA_SANITIZE})
endif()
