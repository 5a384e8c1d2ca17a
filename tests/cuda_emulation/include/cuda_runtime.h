#pragma once

// Replaces CUDA's header of the same name, so that the files of src/backend/cuda compile as plain
// C++ and their kernels run on the CPU. It has only what those files use. Blocks run one after
// another. The threads of a block are fibers that take turns (fibers.cpp, warp.cpp). Host code
// cannot access device memory (memory.cpp). Streams work at once, or as late as possible
// (streams.cpp).

#define SSA_CUDA_EMULATION 1

#include "emulation/math.h"
#include "emulation/runtime_api.h"
#include "emulation/threads.h"
#include "emulation/types.h"  // first: the others use it
