// Chooses one of the kernel tables. This file is compiled for any machine.

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(SSA_CPU_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
#if defined(SSA_CPU_AMX)
namespace amx {
const Kernels& kernel_table();
}
#endif

namespace {

struct Candidate {
  const char* isa;
  const Kernels& (*table)();
  bool (*runs_here)();
};

#if defined(__x86_64__)
// These test the features of the x86-64-v3 and -v4 levels that the kernel files are compiled for.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(SSA_CPU_AMX)
/// Asks Linux for permission to use the tile registers, which a process needs.
bool tiles_granted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
/// AVX512_BF16, AMX-BF16 and AMX-TILE (CPUID leaf 7). GCC knows their names only from version 13
/// on.
bool has_amx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  const bool tiles = (edx >> 22 & 1) != 0 && (edx >> 24 & 1) != 0;
  if (!tiles || !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return false;
  return (eax >> 5 & 1) != 0 && tiles_granted();
}
#endif

// Best first.
constexpr Candidate kCandidates[] = {
#if defined(SSA_CPU_AMX)
    {"amx", amx::kernel_table, has_amx},
#endif
#if defined(__x86_64__)
    {"avx512", avx512::kernel_table, has_avx512},
    {"avx2", avx2::kernel_table, has_avx2},
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
