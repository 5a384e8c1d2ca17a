# Build options, compiler flags and build accelerators.

# Parts that come later. AUTO and OFF leave them out; ON says plainly that they are not there.
foreach(part CUDA MPI NCCL RDKIT)
  set(SSA_${part} "AUTO" CACHE STRING "${part}: AUTO, ON or OFF")
  set_property(CACHE SSA_${part} PROPERTY STRINGS AUTO ON OFF)
  if(SSA_${part} STREQUAL "ON")
    message(FATAL_ERROR "SSA_${part}=ON: ${part} support is not part of this version. "
                        "Use the release preset, or -DSSA_${part}=OFF.")
  endif()
endforeach()
option(SSA_BUILD_TESTS "Build the test suite" ON)
option(SSA_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" OFF)
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
  set(CMAKE_C_COMPILER_LAUNCHER ${SSA_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SSA_CCACHE})
endif()
find_program(SSA_LLD NAMES ld.lld)
if(SSA_LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                    -Wcast-qual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options(-Wno-restrict)  # GCC 12 warns of std::string's own inlined copies
endif()
if(SSA_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror)
endif()
# Results must not depend on which instructions the compiler happens to contract, and plans are
# drawn with the same bits everywhere. Kernels that want fused multiply-add ask for it themselves.
add_compile_options(-ffp-contract=off)
if(SSA_SANITIZE)
  add_compile_options(-fsanitize=${SSA_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # instrumented code misleads GCC's analysis
  endif()
  add_link_options(-fsanitize=${SSA_SANITIZE})
endif()
