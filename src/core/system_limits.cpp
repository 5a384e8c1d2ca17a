#include "ssa/core/system_limits.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <thread>

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ssa {

namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

int64_t machine_memory() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE); }

/// The first number in a file, if it is there and above 0; "max" is no number: no limit.
std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  if (int64_t number = 0; file >> number && number > 0) return number;
  return std::nullopt;
}

/// The number behind a word, in a file of lines "word number"; 0 if there is none.
int64_t number_after(const std::string& path, const std::string& wanted) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(wanted)) return std::strtoll(line.c_str() + wanted.size(), nullptr, 10);
  }
  return 0;
}

/// A folder of a control group, and the version of its interface.
using Visit = std::function<void(const std::string& folder, int version)>;

/// Visits the process's control groups with a controller, and the groups above them. In a container
/// the group's own path may not be visible; the topmost group is.
void visit_groups(const std::string& root, const std::string& controller, const Visit& visit) {
  const std::string mount = root + "/sys/fs/cgroup";
  const auto visit_up = [&](const std::string& top, std::filesystem::path group, int version) {
    for (;; group = group.parent_path()) {
      visit(top + group.string() + "/", version);
      if (group == group.parent_path()) return;
    }
  };
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") visit_up(mount, path, 2);
    if (controllers.find("," + controller + ",") != std::string::npos) {
      visit_up(mount + "/" + controller, path, 1);
    }
  }
}

/// Free memory of the machine; all of it if the system does not say.
int64_t machine_free(const std::string& root) {
  const std::string path = root + "/proc/meminfo";
  const int64_t kib = number_after(path, "MemAvailable:") + number_after(path, "SwapFree:");
  return kib > 0 ? kib * 1024 : machine_memory();
}

}  // namespace

int64_t usable_memory(const std::string& root) {
  int64_t memory = machine_memory();
  visit_groups(root, "memory", [&](const std::string& group, int version) {
    const auto limit = number_in(group + (version == 2 ? "memory.max" : "memory.limit_in_bytes"));
    memory = std::min(memory, limit.value_or(kNoLimit));
  });
  return memory;
}

int64_t free_memory(const std::string& root) {
  int64_t memory = machine_free(root);
  visit_groups(root, "memory", [&](const std::string& group, int version) {
    const bool two = version == 2;
    const auto limit = number_in(group + (two ? "memory.max" : "memory.limit_in_bytes"));
    if (!limit) return;
    const auto used = number_in(group + (two ? "memory.current" : "memory.usage_in_bytes"));
    const int64_t files =
        number_after(group + "memory.stat", two ? "inactive_file " : "total_inactive_file ");
    memory = std::min(memory, *limit - std::max<int64_t>(0, used.value_or(0) - files));
  });
  return std::max<int64_t>(0, memory);
}

int64_t free_addresses() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  const int64_t used = number_in("/proc/self/statm").value_or(0) * sysconf(_SC_PAGE_SIZE);
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

int64_t usable_processors(const std::string& root) {
  auto processors = static_cast<int64_t>(std::thread::hardware_concurrency());
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) processors = CPU_COUNT(&allowed);
  visit_groups(root, "cpu", [&](const std::string& group, int version) {
    std::optional<int64_t> quota, period;  // microseconds
    if (version == 2) {
      std::ifstream file(group + "cpu.max");
      if (int64_t first = 0, second = 0; file >> first >> second) quota = first, period = second;
    } else {
      quota = number_in(group + "cpu.cfs_quota_us");
      period = number_in(group + "cpu.cfs_period_us");
    }
    if (!quota || !period || *quota <= 0 || *period <= 0) return;
    processors = std::min(processors, (*quota - 1) / *period + 1);
  });
  return std::max<int64_t>(1, processors);
}

}  // namespace ssa
