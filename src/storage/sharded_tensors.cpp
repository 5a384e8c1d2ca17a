#include "ssa/storage/sharded_tensors.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

#include "ssa/core/error.h"

namespace ssa {

namespace {

struct PartName {
  std::string whole;
  int64_t begin = 0, end = 0;
};

/// The number, if the whole text is one.
std::optional<int64_t> number_in(std::string_view text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

/// Returns nothing if the name is not that of a part.
std::optional<PartName> parse_part_name(std::string_view name) {
  const size_t bracket = name.rfind('[');
  if (bracket == std::string_view::npos || !name.ends_with(']')) return std::nullopt;
  const std::string_view range = name.substr(bracket + 1, name.size() - bracket - 2);
  const size_t colon = range.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto begin = number_in(range.substr(0, colon)), end = number_in(range.substr(colon + 1));
  if (!begin || !end) return std::nullopt;
  return PartName{std::string(name.substr(0, bracket)), *begin, *end};
}

}  // namespace

std::string part_name(const std::string& whole, int64_t begin, int64_t end) {
  return fmt::format("{}[{}:{}]", whole, begin, end);
}

ShardedTensors::ShardedTensors(std::vector<SafetensorsFile> files) : files_(std::move(files)) {
  for (size_t file = 0; file < files_.size(); ++file) {
    for (const SafetensorsEntry& entry : files_[file].entries()) add(file, entry);
  }
  for (auto& [name, parts] : parts_) {
    std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    check_complete(name, parts);
  }
}

void ShardedTensors::add(size_t file, const SafetensorsEntry& entry) {
  const auto part = parse_part_name(entry.name);
  if (!part) return parts_[entry.name].push_back({0, entry.shape.numel(), file, &entry, true});
  if (entry.shape.rank() != 1 || part->end - part->begin != entry.shape.numel()) {
    throw CheckpointError("{}: tensor '{}' has the shape {}, which is not what its name says",
                          files_[file].path(), entry.name, to_string(entry.shape));
  }
  parts_[part->whole].push_back({part->begin, part->end, file, &entry, false});
}

void ShardedTensors::check_complete(const std::string& name, const std::vector<Part>& parts) const {
  int64_t expected = 0;
  for (const Part& part : parts) {
    if (part.begin < expected || (&part != &parts.front() && part.is_whole)) {
      throw CheckpointError("{} and {} both have elements of tensor '{}' from number {} on",
                            path(parts.front()), path(part), name, part.begin);
    }
    if (part.begin > expected) {
      throw CheckpointError("{}: elements {} to {} of tensor '{}' are in none of the {} files",
                            path(part), expected, part.begin - 1, name, files_.size());
    }
    if (part.entry->dtype != parts.front().entry->dtype) {
      throw CheckpointError("tensor '{}' is {} in {}, but {} in {}", name,
                            ssa::name(parts.front().entry->dtype), path(parts.front()),
                            ssa::name(part.entry->dtype), path(part));
    }
    expected = part.end;
  }
}

std::vector<std::string> ShardedTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, parts] : parts_) names.push_back(name);
  return names;
}

void ShardedTensors::load(const std::string& name, const Shape& whole, int64_t begin,
                          Tensor& elements) const {
  const int64_t end = begin + elements.numel();
  SSA_CHECK(begin >= 0 && end <= whole.numel(), "elements {} to {} of tensor '{}' of {}", begin,
            end, name, whole.numel());
  const auto found = parts_.find(name);
  if (found == parts_.end()) {
    throw CheckpointError(
        "{}{} has no tensor '{}' ({} others): was it written for another model?",
        files_.front().path(),
        files_.size() > 1 ? fmt::format(" (with {} more)", files_.size() - 1) : "", name,
        parts_.size());
  }
  const std::vector<Part>& parts = found->second;
  const Part& last = parts.back();
  if (last.is_whole && !(last.entry->shape == whole)) {
    throw CheckpointError("{}: tensor '{}' is {} {} in the file, {} {} in the model", path(last),
                          name, ssa::name(last.entry->dtype), to_string(last.entry->shape),
                          ssa::name(elements.dtype()), to_string(whole));
  }
  if (last.end != whole.numel()) {
    throw CheckpointError("{}: tensor '{}' ends with element {} there, but has {} in the model",
                          path(last), name, last.end, whole.numel());
  }
  Tensor flat = elements.view({elements.numel()});
  for (const Part& part : parts) {
    const int64_t first = std::max(begin, part.begin), stop = std::min(end, part.end);
    if (first >= stop) continue;
    Tensor place = flat.slice(0, first - begin, stop - first);
    files_[part.file].load_elements(part.entry->name, first - part.begin, place);
  }
}

}  // namespace ssa
