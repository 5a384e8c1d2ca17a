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
ssa_require(ZLIB "CRC-32 of gzip files")                         # 1.2

ssa_require(JPEG "JPEG pictures")                                # libjpeg-turbo 2.1
ssa_require(PNG "PNG pictures")                                  # 1.6

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

# MPI 3: Open MPI, MPICH and its kin. The C interface: the C++ one has left the standard.
set(SSA_WITH_MPI OFF)
if(NOT SSA_MPI STREQUAL "OFF")
  find_package(MPI 3.0 QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(SSA_WITH_MPI ON)
    # In place of MPI::MPI_C, which projects of C++ alone that link the installed libraries cannot find.
    add_library(ssa_mpi INTERFACE)
    target_include_directories(ssa_mpi SYSTEM INTERFACE "$<BUILD_INTERFACE:${MPI_C_INCLUDE_DIRS}>")
    target_compile_options(ssa_mpi INTERFACE "$<BUILD_INTERFACE:${MPI_C_COMPILE_OPTIONS}>")
    separate_arguments(link_flags NATIVE_COMMAND "${MPI_C_LINK_FLAGS}")
    target_link_libraries(ssa_mpi INTERFACE ${MPI_C_LIBRARIES} ${link_flags})
  elseif(SSA_MPI STREQUAL "ON")
    message(FATAL_ERROR "SSA_MPI=ON: no MPI found. Put its mpicc on PATH (module load …), set "
                        "MPI_C_COMPILER, or ${SSA_INSTALL_HINT}")
  endif()
  message(STATUS "MPI: ${SSA_WITH_MPI}")
endif()

# Gloo 0.5, as of 2022 in Debian 12.
set(SSA_WITH_GLOO OFF)
if(NOT SSA_GLOO STREQUAL "OFF")
  find_package(Gloo CONFIG QUIET)
  if(Gloo_FOUND)
    set(SSA_WITH_GLOO ON)
  elseif(SSA_GLOO STREQUAL "ON")
    message(FATAL_ERROR "SSA_GLOO=ON: Gloo not found: ${SSA_INSTALL_HINT}")
  endif()
  message(STATUS "Gloo: ${SSA_WITH_GLOO}")
endif()

# RDKit 2022.09: only `ssa-data prepare` of molecules uses it, so only ssa-data shall need its
# libraries to run.
set(SSA_WITH_RDKIT OFF)
if(NOT SSA_RDKIT STREQUAL "OFF")
  find_package(RDKit QUIET)
  if(RDKit_FOUND)
    set(SSA_WITH_RDKIT ON)
    add_library(ssa_rdkit INTERFACE)
    target_include_directories(ssa_rdkit SYSTEM INTERFACE ${RDKit_INCLUDE_DIRS})
    target_link_libraries(ssa_rdkit INTERFACE -Wl,--push-state,--as-needed ${RDKit_LIBRARIES}
                          -Wl,--pop-state)
  elseif(SSA_RDKIT STREQUAL "ON")
    message(FATAL_ERROR "SSA_RDKIT=ON: RDKit, or the Boost headers that its own need, not found. Set "
                        "RDKit_ROOT where they are elsewhere, or ${SSA_INSTALL_HINT}")
  endif()
  message(STATUS "RDKit: ${SSA_WITH_RDKIT}")
endif()

# CUDA: compiler, runtime and cuBLASLt. 12.0 and newer; not installed by scripts/setup.sh.
set(SSA_WITH_CUDA OFF)
if(NOT SSA_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  if(SSA_CUDA STREQUAL "ON" OR EXISTS /proc/driver/nvidia/version)
    check_language(CUDA)
  endif()
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES ${SSA_CUDA_ARCHITECTURES})
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
      message(FATAL_ERROR "SSA_CUDA: CUDA 12.0 or newer is needed, not ${CMAKE_CUDA_COMPILER_VERSION}")
    endif()
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1 does not know it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit REQUIRED)  # cudart, cublasLt
    set(SSA_WITH_CUDA ON)
  elseif(SSA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SSA_CUDA=ON: no CUDA compiler. Put nvcc on PATH or set CUDACXX, or use "
                        "-DSSA_CUDA=OFF")
  endif()
  message(STATUS "CUDA backend: ${SSA_WITH_CUDA}")
endif()

# NCCL: sums over ranks that have a GPU each. 2.14 and newer, for communicators that do not block.
set(SSA_WITH_NCCL OFF)
if(SSA_WITH_CUDA AND NOT SSA_NCCL STREQUAL "OFF")
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    set(SSA_WITH_NCCL ON)
    add_library(ssa_nccl INTERFACE)
    target_include_directories(ssa_nccl SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
    target_link_libraries(ssa_nccl INTERFACE ${NCCL_LIBRARY})
  endif()
  message(STATUS "NCCL: ${SSA_WITH_NCCL}")
endif()
if(SSA_NCCL STREQUAL "ON" AND NOT SSA_WITH_NCCL)
  message(FATAL_ERROR "SSA_NCCL=ON: no NCCL, or no CUDA backend to use it with. Build with "
                      "-DSSA_CUDA=ON, and set NCCL_INCLUDE_DIR and NCCL_LIBRARY where it is elsewhere")
endif()

if(SSA_BUILD_TESTS)
  ssa_require(Catch2 "unit tests" 2)
  if(NOT SSA_WITH_CUDA)  # else tests run on a GPU, and not on an emulated one
    ssa_require(Boost "Boost.Context, fibers of the CUDA emulation" CONFIG COMPONENTS context)
  endif()
endif()
