// Chooses among the kernel tables; compiled for any machine.

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ssa/core/error.h"

#include "backend/cpu/kernels/kernels.h"

namespace ssa::cpu {

namespace baseline {
const Kernels& kernel_table();
}
#if defined(__x86_64__)
namespace avx2 {
const Kernels& kernel_table();
}
namespace avx512 {
const Kernels& kernel_table();
}
#endif

namespace {

struct Candidate {
  const char* isa;
  const Kernels& (*table)();
  bool (*runs_here)();
};

// Best first. The tests are those of the x86-64-v3 and -v4 levels that the files are compiled for.
constexpr Candidate kCandidates[] = {
#if defined(__x86_64__)
    {"avx512", avx512::kernel_table,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
     }},
    {"avx2", avx2::kernel_table,
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
     }},
#endif
    {"baseline", baseline::kernel_table, [] { return true; }},
};

}  // namespace

const Kernels& kernels_asked_for() {
  const char* wanted = std::getenv("SSA_CPU_ISA");
  if (wanted && *wanted) {
    if (const Kernels* found = find_kernels(wanted)) return *found;
    std::string names;
    for (const Candidate& candidate : kCandidates) {
      if (candidate.runs_here()) names += std::string(" ") + candidate.isa;
    }
    throw ConfigError("SSA_CPU_ISA={}: there are no such CPU kernels here; this machine runs:{}",
                      wanted, names);
  }
  for (const Candidate& candidate : kCandidates) {
    if (candidate.runs_here()) return candidate.table();
  }
  return baseline::kernel_table();
}

const Kernels* find_kernels(const char* isa) {
  for (const Candidate& candidate : kCandidates) {
    if (std::strcmp(candidate.isa, isa) == 0 && candidate.runs_here()) return &candidate.table();
  }
  return nullptr;
}

namespace {

std::atomic<const Kernels*>& current() {
  static std::atomic<const Kernels*> chosen = &kernels_asked_for();
  return chosen;
}

}  // namespace

const Kernels& kernels() { return *current().load(std::memory_order_relaxed); }

bool select_kernels(const char* isa) {
  const Kernels* found = find_kernels(isa);
  if (found) current() = found;
  return found != nullptr;
}

}  // namespace ssa::cpu
