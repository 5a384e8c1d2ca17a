#pragma once

// Stands in for CUDA's header of the same name, so that the files of src/backend/cuda compile as
// plain C++ and their kernels run on the CPU. Only what those files use is here. Blocks run one
// after another; the threads of a block are fibers that take turns (fibers.cpp, warp.cpp); device
// memory cannot be touched by host code (memory.cpp); streams work at once, or as late as they can
// (streams.cpp).

#define SSA_CUDA_EMULATION 1

#include "emulation/math.h"
#include "emulation/runtime_api.h"
#include "emulation/threads.h"
#include "emulation/types.h"  // first: the others use it
