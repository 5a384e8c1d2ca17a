#pragma once

#include <map>
#include <optional>
#include <string>

#include "ssa/config/config.h"

namespace ssa {

/// A row of a published table; what the table leaves out is not set.
struct PublishedRow {
  std::optional<double> valid, test;  ///< the task's metric, dense inference
  std::optional<double> ensemble_valid, ensemble_test;
  std::optional<double> compute, memory, speed;  ///< C, M, S: relative to dense attention
};

/// The published row nearest to a config, and the model that it is about.
struct PublishedMatch {
  const PublishedRow* row = nullptr;
  std::string scheme;  ///< of the row: S16-L4 for a model that samples in all of its 6 layers
  int64_t layers = 0, width = 0, length = 0;
  bool same_size = false;  ///< the config's model has these layers, width and length
};

/// Published results, read from a JSON file such as configs/published_results.json.
class PublishedResults {
 public:
  PublishedResults() = default;
  /// Throws ConfigError naming the file and what is wrong.
  static PublishedResults load(const std::string& path);

  /// The row of this data set and attention scheme, if the model has the published layers, width
  /// and length; null otherwise.
  const PublishedRow* find(const Config& config) const;
  /// The same for a model of any size: with the scheme that samples in the same part of the layers.
  /// Nothing if the table has none.
  std::optional<PublishedMatch> nearest(const Config& config) const;
  const std::string& source() const { return source_; }
  bool empty() const { return tables_.empty(); }

 private:
  struct Table {
    int64_t layers = 0, width = 0, length = 0;
    std::map<std::string, PublishedRow> rows;  // by scheme_name()
  };
  std::string source_;
  std::map<std::string, Table> tables_;  // by data.name
};

/// published_results.json beside the config, or in configs/ near a program: in a folder above it,
/// or in the share/ssa of its installation. Empty if there is none.
std::string find_published_results(const std::string& config_path, const std::string& program_dir);
/// The same near the running program.
std::string find_published_results(const std::string& config_path);

}  // namespace ssa
