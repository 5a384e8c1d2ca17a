# cmake --install: programs with man pages and bash completion, documentation, configs and scripts;
# headers, libraries and a CMake package, so that another project can call find_package(ssa) and link
# ssa::ssa. cpack makes a .deb and a .tar.gz of the same.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(layers GLOBAL PROPERTY SSA_LAYERS)
get_property(apps GLOBAL PROPERTY SSA_APPS)

# ssa::ssa is all layers.
add_library(ssa INTERFACE)
target_link_libraries(ssa INTERFACE ${layers})

set(libraries ssa ${layers} ssa_backend_cpu ssa_xxhash)
foreach(library ssa_backend_cuda ssa_mpi ssa_nccl ssa_rdkit)  # those that this build has
  if(TARGET ${library})
    list(APPEND libraries ${library})
  endif()
endforeach()
install(TARGETS ${libraries} EXPORT ssaTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ssa DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ssa)
install(EXPORT ssaTargets NAMESPACE ssa:: DESTINATION ${package_dir})
configure_package_config_file(third_party/ssaConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/ssaConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/ssaConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ssaConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/ssaConfigVersion.cmake DESTINATION ${package_dir})

install(TARGETS ${apps} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa)
install(PROGRAMS scripts/launch_local.sh scripts/ogb_submission.py
        DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa/scripts)
install(FILES scripts/ssa_torch.py scripts/ssa_plans.py scripts/ssa_graphs.py
        DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa/scripts)
install(FILES scripts/kubernetes/jobset.yaml scripts/kubernetes/pytorchjob.yaml
        DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa/scripts/kubernetes)
install(FILES scripts/slurm/train.sbatch scripts/slurm/sweep.sbatch
        DESTINATION ${CMAKE_INSTALL_DATADIR}/ssa/scripts/slurm)
# The links between these files stay good.
install(FILES LICENSE README.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Man pages and completions come from what the programs print for --help.
find_package(Python3 3.9 QUIET COMPONENTS Interpreter)
if(Python3_FOUND AND NOT CMAKE_CROSSCOMPILING AND NOT SSA_SANITIZE)
  set(pages ${CMAKE_CURRENT_BINARY_DIR}/command_pages)
  set(maker ${CMAKE_CURRENT_SOURCE_DIR}/scripts/make_command_pages.py)
  set(programs "")
  foreach(app ${apps})
    list(APPEND programs $<TARGET_FILE:${app}>)
  endforeach()
  add_custom_command(OUTPUT ${pages}/made
    COMMAND ${Python3_EXECUTABLE} ${maker} --output ${pages} ${programs}
    COMMAND ${CMAKE_COMMAND} -E touch ${pages}/made
    DEPENDS ${maker} ${apps} COMMENT "Making man pages and bash completions" VERBATIM)
  add_custom_target(ssa_command_pages ALL DEPENDS ${pages}/made)
  install(DIRECTORY ${pages}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(DIRECTORY ${pages}/completions/
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
else()
  message(STATUS "Man pages and bash completions: left out; they need Python 3.9, and programs that "
                 "run here and have no sanitizers")
endif()

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_VENDOR "The ssa authors")
set(CPACK_PACKAGE_CONTACT "The ssa authors")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_CURRENT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # depends on the packages of the libraries it was linked with
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bash-completion, openmpi-bin")
include(CPack)
