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

/// Published results, read from a JSON file such as configs/published_results.json.
class PublishedResults {
 public:
  PublishedResults() = default;
  /// Throws ConfigError naming the file and what is wrong.
  static PublishedResults load(const std::string& path);

  /// The row of this data set and attention scheme, if the model has the published layers, width
  /// and length; null otherwise.
  const PublishedRow* find(const Config& config) const;
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

/// configs/published_results.json near the config, or near a program: in a folder above it, or in
/// the share/ssa of its installation. Empty if there is none.
std::string find_published_results(const std::string& config_path, const std::string& program_dir);

}  // namespace ssa
