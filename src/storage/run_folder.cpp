#include "ssa/storage/run_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"

#include "storage/checkpoint_folder.h"

namespace ssa {

namespace {

/// The holder of the lock, as it described itself: "process 123 on host a".
std::string holder(int descriptor) {
  std::array<char, 300> text{};
  const ssize_t bytes = ::pread(descriptor, text.data(), text.size(), 0);
  std::string result(text.data(), bytes > 0 ? static_cast<size_t>(bytes) : 0);
  while (!result.empty() && result.back() == '\n') result.pop_back();
  return result.empty() ? "another process" : result;
}

/// Writes this process's description for the message of a second process. Errors do not matter.
void write_holder(int descriptor) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::string text = fmt::format("process {} on host {}\n", ::getpid(), host.data());
  if (::ftruncate(descriptor, 0) == 0) {
    [[maybe_unused]] const ssize_t done = ::pwrite(descriptor, text.data(), text.size(), 0);
  }
}

std::string samples_path(const std::string& run_dir) { return run_dir + "/samples"; }

/// The step in a name "step-N.SUFFIX"; nothing for another name.
std::optional<int64_t> step_of_sample(std::string_view name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const char* const end = name.data() + name.size();
  const auto [dot, error] = std::from_chars(name.data(), end, step);
  const bool one_suffix = std::count(dot, end, '.') == 1;  // not that of a file being written
  if (error != std::errc() || step < 0 || dot == end || *dot != '.' || !one_suffix) {
    return std::nullopt;
  }
  return step;
}

}  // namespace

std::vector<SampleFile> list_samples(const std::string& run_dir) {
  std::vector<SampleFile> samples;
  const std::string dir = samples_path(run_dir);
  for (const std::string& name : list_directory(dir)) {
    if (const auto step = step_of_sample(name)) samples.push_back({*step, dir + "/" + name});
  }
  std::ranges::stable_sort(samples, {}, &SampleFile::step);
  return samples;
}

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  make_directories(path_);
  lock();
}

RunFolder::~RunFolder() {
  if (lock_descriptor_ >= 0) ::close(lock_descriptor_);
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_descriptor_(std::exchange(other.lock_descriptor_, -1)),
      locked_(std::exchange(other.locked_, false)) {}

void RunFolder::lock() {
  const std::string lock_path = path_ + "/run.lock";
  const int descriptor = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    throw CheckpointError("cannot open {}: {}; choose a run folder that you may write to",
                          lock_path, std::error_code(errno, std::generic_category()).message());
  }
  const LockResult lock = lock_file(descriptor, lock_path);
  if (lock == LockResult::busy) {
    const std::string who = holder(descriptor);
    ::close(descriptor);
    throw ConfigError("run folder {} is in use by {}: stop it, or choose another with --run-dir",
                      path_, who);
  }
  locked_ = lock == LockResult::held;
  lock_descriptor_ = descriptor;
  if (locked_) write_holder(descriptor);
}

void RunFolder::write_config(std::string_view yaml) const {
  write_file_atomically(config_path(), yaml);
}

void RunFolder::write_config_changes(std::string_view json) const {
  const std::string path = path_ + "/config-changes.json";
  if (!json.empty()) {
    write_file_atomically(path, std::string(json) + "\n");
  } else if (path_exists(path)) {
    remove_tree(path);
  }
}

void RunFolder::write_sample(int64_t step, std::string_view suffix, std::string_view bytes) const {
  make_directories(samples_path(path_));
  write_file_atomically(fmt::format("{}/step-{}.{}", samples_path(path_), step, suffix), bytes);
}

void RunFolder::remove_samples_after(int64_t step) const {
  for (const SampleFile& sample : list_samples(path_)) {
    if (sample.step > step) remove_tree(sample.path);
  }
}

void RunFolder::finish_save(const std::string& newest, const Retention& keep) const {
  ssa::finish_save(checkpoints_path(), newest, keep);
}

}  // namespace ssa
