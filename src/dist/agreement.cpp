#include "ssa/dist/agreement.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "dist/cbor.h"

namespace ssa {

namespace {

using Values = std::map<std::string, std::string>;

/// As CBOR, which takes file names in any encoding.
std::string as_text(const Statements& statements) {
  std::string text;
  nlohmann::json::to_cbor(nlohmann::json(Values(statements.begin(), statements.end())), text);
  return text;
}

Values values_in(const std::string& text) {
  try {
    return dist::read_cbor(text).get<Values>();
  } catch (const std::exception&) {  // of a program of another version
    return {};
  }
}

/// "train.seed: 1 on rank 0; 2 on ranks 1-3", on a line of its own; empty if all ranks have the
/// same value.
std::string difference(const std::string& key, const std::vector<Values>& all) {
  std::vector<std::pair<std::string, std::vector<size_t>>> holders;  // of each value
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const auto found = all[rank].find(key);
    const std::string value = found == all[rank].end() ? "not stated" : found->second;
    const auto same = std::find_if(holders.begin(), holders.end(),
                                   [&](const auto& one) { return one.first == value; });
    if (same == holders.end()) {
      holders.push_back({value, {rank}});
    } else {
      same->second.push_back(rank);
    }
  }
  if (holders.size() < 2) return "";
  std::vector<std::string> parts;
  for (const auto& [value, ranks] : holders) {
    parts.push_back(fmt::format("{} on {}", value.empty() ? std::string("nothing") : value,
                                list_of_ranks(ranks)));
  }
  return fmt::format("\n  {}: {}", key, fmt::join(parts, "; "));
}

}  // namespace

std::string list_of_ranks(const std::vector<size_t>& ranks) {
  std::vector<std::string> parts;
  for (size_t first = 0; first < ranks.size();) {
    size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    parts.push_back(first == last ? fmt::format("{}", ranks[first])
                                  : fmt::format("{}-{}", ranks[first], ranks[last]));
    first = last + 1;
  }
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(parts, ", "));
}

std::string stated_path(const std::string& path) {
  if (path.empty()) return path;
  const std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path())
      .string();  // without a slash at the end
}

void require_agreement(Communicator& ranks, const Statements& own) {
  if (ranks.size() == 1) return;
  std::vector<Values> all;
  for (const std::string& text : ranks.gather(as_text(own), "what all ranks must agree on")) {
    all.push_back(values_in(text));
  }
  std::set<std::string> keys;
  for (const Values& values : all) {
    for (const auto& [key, value] : values) keys.insert(key);
  }
  std::string differences;
  for (const std::string& key : keys) differences += difference(key, all);
  if (differences.empty()) return;
  throw ConfigError(
      "the ranks do not agree. Start all of them with the same program, config, options and "
      "data:{}",
      differences);
}

}  // namespace ssa
