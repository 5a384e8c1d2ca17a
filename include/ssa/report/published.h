#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A row of a published table. Numbers that the table lacks are not set.
struct PublishedRow {
  std::optional<double> valid, test;  ///< the task's metric, dense inference
  std::optional<double> ensemble_valid, ensemble_test;
  std::optional<double> compute, memory, speed;  ///< C, M, S: relative to dense attention
};

/// Keys of a config and their values, which tell models apart whose layers are not alike.
using ModelKeys = std::vector<std::pair<std::string, std::string>>;

/// The published row nearest to a config, and its model.
struct PublishedMatch {
  const PublishedRow* row = nullptr;
  std::string scheme;  ///< of the row: S16-L4 also for a model that samples in all its 6 layers
  int64_t layers = 0, width = 0;
  int64_t length = 0;   ///< loss terms of an example: tokens of a sequence, sub-pixels of a picture
  ModelKeys keys = {};  ///< in place of these three
  bool same_size = false;  ///< whether the config's model has these layers, width and length
  std::string note = {};   ///< what readers of the table should know: the split, for example
};

/// Published results, read from a JSON file such as configs/published_results.json.
class PublishedResults {
 public:
  PublishedResults() = default;
  /// Throws ConfigError naming the file and what is wrong.
  static PublishedResults load(const std::string& path);

  /// The row of this data set and attention scheme, of the task's metric. Null if there is none, or
  /// if the model does not have the published size.
  const PublishedRow* find(const Config& config) const;
  /// The same for a model of any size: the row whose scheme samples in the same part of the layers,
  /// or in the same layers where these are not alike.
  std::optional<PublishedMatch> nearest(const Config& config) const;
  const std::string& source() const { return source_; }
  bool empty() const { return tables_.empty(); }

 private:
  struct Table {
    std::string metric;  ///< of its scores; empty: not known
    int64_t layers = 0, width = 0, length = 0;
    ModelKeys keys;  ///< in place of these three
    std::string note;
    std::map<std::string, PublishedRow> rows;  // by scheme_name()
  };
  static bool has_size(const Config& config, const Table& table);

  std::string source_;
  std::map<std::string, Table> tables_;  // by data.name
};

/// The path of published_results.json: beside the config, in the configs/ of a folder above the
/// program's, or in the share/ssa of its installation. Empty if there is none.
std::string find_published_results(const std::string& config_path, const std::string& program_dir);
/// The same for the running program.
std::string find_published_results(const std::string& config_path);

}  // namespace ssa
