#include "ssa/core/trace_range.h"

#ifdef SSA_WITH_NVTX

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

namespace ssa {

TraceRange::TraceRange(const char* name) { nvtxRangePushA(name); }
TraceRange::TraceRange(const char* name, int64_t number) {
  nvtxRangePushA(fmt::format("{} {}", name, number).c_str());
}
TraceRange::~TraceRange() { nvtxRangePop(); }

}  // namespace ssa

#else

namespace ssa {

TraceRange::TraceRange(const char*) {}
TraceRange::TraceRange(const char*, int64_t) {}
TraceRange::~TraceRange() = default;

}  // namespace ssa

#endif
