# The project's targets: one static library and one test program per layer, one program per app.

# ssa_add_layer(NAME SOURCES a.cpp ... [DEPENDS targets...] [PRIVATE targets...])
function(ssa_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  add_library(ssa_${name} STATIC ${ARG_SOURCES})
  target_include_directories(ssa_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_include_directories(ssa_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(ssa_${name} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE})
  target_compile_features(ssa_${name} PUBLIC cxx_std_20)  # for projects that link it
  set_property(GLOBAL APPEND PROPERTY SSA_LAYERS ssa_${name})
endfunction()

# ssa_add_app(ssa-name): src/apps/ssa_name.cpp
function(ssa_add_app name)
  string(REPLACE "-" "_" source ${name})
  add_executable(${name} ${source}.cpp)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${name} PRIVATE ${ARGN})
  set_property(GLOBAL APPEND PROPERTY SSA_APPS ${name})
endfunction()

# ssa_add_test(NAME [SLOW] SOURCES a.cpp ... DEPENDS targets...): cases tagged [slow], or with SLOW
# all, get the label slow, others fast; the sanitizer presets run only the fast ones. Cases that
# tests/support/skip.h ends count as skipped.
function(ssa_add_test name)
  cmake_parse_arguments(ARG "SLOW" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(ssa_${name}_tests ${ARG_SOURCES})
  target_include_directories(ssa_${name}_tests PRIVATE ${PROJECT_SOURCE_DIR}/src
                             ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(ssa_${name}_tests PRIVATE
    SSA_SOURCE_DIR="${PROJECT_SOURCE_DIR}" SSA_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  target_link_libraries(ssa_${name}_tests PRIVATE ssa_test_main ${ARG_DEPENDS})
  set(slow_lines "")
  foreach(source ${ARG_SOURCES})
    file(STRINGS ${source} lines REGEX "\\[slow\\]")
    list(APPEND slow_lines ${lines})
  endforeach()
  set(speeds fast)
  if(ARG_SLOW)
    set(speeds slow)
  elseif(slow_lines)
    list(APPEND speeds slow)
  endif()
  foreach(speed ${speeds})
    if(ARG_SLOW)
      set(spec "*")
    elseif(speed STREQUAL "slow")
      set(spec "[slow]")
    else()
      set(spec "~[slow]")
    endif()
    catch_discover_tests(ssa_${name}_tests TEST_SPEC "${spec}" TEST_PREFIX "${name}: "
                         TEST_LIST ssa_${name}_${speed}_list
                         PROPERTIES LABELS ${speed} TIMEOUT 300
                                    SKIP_REGULAR_EXPRESSION "TEST SKIPPED")
  endforeach()
endfunction()
