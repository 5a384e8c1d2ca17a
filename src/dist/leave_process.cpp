#include "dist/leave_process.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace ssa::dist {

void leave_process(ExitCode code) noexcept {
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(code));
}

}  // namespace ssa::dist
