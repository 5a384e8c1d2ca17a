#include "ssa/core/system_limits.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include "support/files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// A folder in the place of /, with files of the system in it.
struct System {
  TempDir dir;
  std::string root = dir / "root";
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    write_bytes(root + path, text);
  }
};

}  // namespace

TEST_CASE("a control group's memory limit counts, its own or one above") {
  const System system;
  const std::string& root = system.root;
  const int64_t machine = usable_memory(root);  // no /proc there: no limit
  REQUIRE(machine > int64_t{1} << 20);
  system.put("/proc/self/cgroup", "0::/job/step\n");
  CHECK(usable_memory(root) == machine);
  system.put("/sys/fs/cgroup/job/step/memory.max", "max\n");
  CHECK(usable_memory(root) == machine);
  system.put("/sys/fs/cgroup/job/memory.max", "1048576\n");
  CHECK(usable_memory(root) == 1048576);
  system.put("/sys/fs/cgroup/job/step/memory.max", "4096\n");
  CHECK(usable_memory(root) == 4096);

  system.put("/proc/self/cgroup", "5:cpu,memory:/docker/unseen\n3:cpuset:/\n");
  CHECK(usable_memory(root) == machine);
  system.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(usable_memory(root) == machine);
  system.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n");
  CHECK(usable_memory(root) == 8192);
}

TEST_CASE("free memory is the machine's or what a control group leaves; kept files are free") {
  const System system;
  const std::string& root = system.root;
  CHECK(free_memory(root) == usable_memory(root));  // the system does not say
  system.put("/proc/meminfo",
             "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable:  100 kB\nSwapFree: 20 kB\n");
  CHECK(free_memory(root) == 120 * 1024);
  system.put("/proc/self/cgroup", "0::/job\n");
  system.put("/sys/fs/cgroup/job/memory.max", "50000\n");
  CHECK(free_memory(root) == 50000);
  system.put("/sys/fs/cgroup/job/memory.current", "40000\n");
  CHECK(free_memory(root) == 10000);
  system.put("/sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 5000\nactive_file 7\n");
  CHECK(free_memory(root) == 15000);
  system.put("/sys/fs/cgroup/job/memory.current", "60000\n");
  CHECK(free_memory(root) == 0);

  system.put("/proc/self/cgroup", "4:memory:/\n");
  system.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "30000\n");
  system.put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "10000\n");
  system.put("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 2000\n");
  CHECK(free_memory(root) == 22000);
}

TEST_CASE("a control group's quota bounds the processors, its own or one above") {
  const System system;
  const std::string& root = system.root;
  const int64_t machine = usable_processors(root);
  REQUIRE(machine >= 1);
  system.put("/proc/self/cgroup", "0::/job/step\n");
  system.put("/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  CHECK(usable_processors(root) == machine);
  system.put("/sys/fs/cgroup/job/cpu.max", "10000000 100000\n");
  CHECK(usable_processors(root) == std::min<int64_t>(machine, 100));
  system.put("/sys/fs/cgroup/job/cpu.max", "100001 100000\n");  // a bit of the second
  CHECK(usable_processors(root) == std::min<int64_t>(machine, 2));
  system.put("/sys/fs/cgroup/job/cpu.max", "100000 100000\n");
  CHECK(usable_processors(root) == 1);
  system.put("/sys/fs/cgroup/job/step/cpu.max", "5000 100000\n");
  CHECK(usable_processors(root) == 1);

  system.put("/proc/self/cgroup", "1:cpu,cpuacct:/docker/unseen\n");
  system.put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  system.put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  CHECK(usable_processors(root) == machine);
  system.put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  CHECK(usable_processors(root) == 1);
}
