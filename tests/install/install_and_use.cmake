# Installs a build into a folder of its own, and there configures, builds and runs a project of C++
# alone that uses the engine.
#
# usage: cmake -DBUILD=DIR -DWORK=DIR -DUSER=DIR -DGENERATOR=NAME -DCOMPILER=FILE -DPAGES=0|1
#              -P install_and_use.cmake

cmake_minimum_required(VERSION 3.25)
set(prefix ${WORK}/prefix)
set(user_build ${WORK}/build)
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(require_files)
  foreach(name ${ARGN})
    if(NOT EXISTS ${prefix}/${name})
      message(SEND_ERROR "${name} is not installed")
    endif()
  endforeach()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
require_files(
  share/doc/ssa/LICENSE share/doc/ssa/README.md share/doc/ssa/docs/reference/cli.md
  share/ssa/configs/enwik8_mini_s0.yaml share/ssa/configs/published_results.json
  share/ssa/scripts/launch_local.sh share/ssa/scripts/slurm/train.sbatch
  share/ssa/scripts/kubernetes/jobset.yaml share/ssa/scripts/ssa_torch.py
  share/ssa/scripts/ssa_plans.py share/ssa/scripts/ssa_graphs.py)

file(GLOB programs RELATIVE ${prefix}/bin ${prefix}/bin/*)
if(NOT "ssa-train" IN_LIST programs)
  message(SEND_ERROR "ssa-train is not installed")
endif()
foreach(program ${programs})
  run(${prefix}/bin/${program} --version)
  if(PAGES)
    require_files(share/man/man1/${program}.1)
    run(bash -n ${prefix}/share/bash-completion/completions/${program})
  endif()
endforeach()

run(${CMAKE_COMMAND} -S ${USER} -B ${user_build} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_BUILD_TYPE=Debug)
run(${CMAKE_COMMAND} --build ${user_build})
run(${user_build}/user)
file(REMOVE_RECURSE ${WORK})
