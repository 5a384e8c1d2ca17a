# cmake --install: programs, headers, libraries, configs and a CMake package, so that another project
# can call find_package(ssa) and link ssa::ssa.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY SSA_LAYERS)
get_property(apps GLOBAL PROPERTY SSA_APPS)

# ssa::ssa is all layers.
add_library(ssa INTERFACE)
target_link_libraries(ssa INTERFACE ${layers})

install(TARGETS ${apps} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set(cuda_libraries "")
if(SSA_WITH_CUDA)
  set(cuda_libraries ssa_backend_cuda)
endif()
if(SSA_WITH_NCCL)
  set(nccl_library ssa_nccl)
endif()
if(SSA_WITH_RDKIT)
  set(rdkit_library ssa_rdkit)
endif()
install(TARGETS ssa ${layers} ssa_backend_cpu ${cuda_libraries} ${nccl_library}
        ${rdkit_library} ssa_xxhash EXPORT ssaTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ssa DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ssa)
install(EXPORT ssaTargets NAMESPACE ssa:: DESTINATION ${package_dir})
configure_package_config_file(third_party/ssaConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/ssaConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/ssaConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ssaConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/ssaConfigVersion.cmake DESTINATION ${package_dir})
