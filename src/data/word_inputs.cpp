#include "word_inputs.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "input_stream.h"
#include "list_folder.h"
#include "prepare_inputs.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

struct Candidate {
  Split split;
  SplitSource source;
};

/// The file's name without the ending of a packed file.
std::string without_packed_suffix(std::string name) {
  for (const std::string_view suffix : packed_suffixes()) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

/// wiki.train.tokens, train.txt and ptb-train.txt are train; wiki.train.raw is no split.
std::optional<Split> split_of(const std::string& path) {
  const std::string name = without_packed_suffix(fs::path(path).filename().string());
  if (!name.ends_with(".tokens") && !name.ends_with(".txt")) return std::nullopt;
  std::optional<Split> found;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find_first_of("._-", begin), name.size());
    for (const Split split : kSplits) {
      if (name.substr(begin, end - begin) != ssa::name(split)) continue;
      if (found) return std::nullopt;
      found = split;
    }
    begin = end + 1;
  }
  return found;
}

void add_file(const std::string& path, std::vector<Candidate>& candidates) {
  InputStream stream(path);
  if (!stream.is_archive()) {
    if (const auto split = split_of(path)) candidates.push_back({*split, {path, ""}});
    return;
  }
  while (stream.next_member()) {
    const auto split = split_of(stream.member());
    if (split) candidates.push_back({*split, {path, stream.member()}});
  }
}

void add_folder(const std::string& folder, std::vector<Candidate>& candidates) {
  std::error_code error;
  for (const fs::path& entry : list_folder(folder, error)) {
    std::error_code ignored;  // an unreadable entry is not a candidate
    const auto split = split_of(entry.string());
    if (!split || !fs::is_regular_file(entry, ignored)) continue;
    candidates.push_back({*split, {entry.string(), ""}});
  }
  if (error) throw DataError("cannot list '{}': {}", folder, error.message());
}

std::string labels(const std::vector<Candidate>& candidates) {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates) names.push_back(candidate.source.label());
  return names.empty() ? " nothing of the kind" : join(names);
}

}  // namespace

std::array<SplitSource, 3> settle_word_inputs(const PrepareOptions& options) {
  std::vector<Candidate> candidates;
  for (const std::string& given : options.inputs) {
    std::error_code error;
    if (fs::is_directory(given, error)) {
      refuse_prepared(given);
      add_folder(given, candidates);
    } else {
      add_file(given, candidates);
    }
  }
  std::array<SplitSource, 3> sources;
  for (const Split split : kSplits) {
    std::vector<Candidate> fitting;
    std::ranges::copy_if(candidates, std::back_inserter(fitting),
                         [split](const Candidate& candidate) { return candidate.split == split; });
    if (fitting.empty()) {
      throw DataError(
          "no text of the {} split in '{}': wiki.{}.tokens (or {}.txt) is expected there, as a "
          "file or in an archive, beside the other splits. Found:{}",
          name(split), fmt::join(options.inputs, "', '"), name(split), name(split),
          labels(candidates));
    }
    if (fitting.size() > 1) {
      throw DataError("several files fit the {} split; give the right ones as --input:{}",
                      name(split), labels(fitting));
    }
    sources[static_cast<size_t>(split)] = fitting.front().source;
  }
  return sources;
}

}  // namespace ssa
