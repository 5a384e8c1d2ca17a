#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"

namespace ssa {

/// Collects the names of the classes while the pictures are listed, and numbers them afterwards.
class ClassNumbers {
 public:
  /// `listed`: all classes in order; empty: those that are met.
  explicit ClassNumbers(std::vector<std::string> listed) : listed_(std::move(listed)) {}

  /// Notes a picture of a class. Returns what labels() is asked with later.
  uint32_t add_image(std::string_view name, Split split);
  /// Notes a class of train that may have no picture.
  void add_folder(std::string_view name, Split split);
  /// The name of a class that is given by its number. Without a list that is the number itself.
  std::string name_of_number(std::string_view number);

  /// The classes in order. A class's number is its place in the list, or else the rank of its name
  /// among those of train; if all are given by numbers, they themselves.
  ///
  /// Throws DataError that names the classes that are not in the list or not in train, and without
  /// a list those of train that have no picture.
  std::vector<std::string> classes() const;
  /// The number of each class that add_image() has returned.
  std::vector<uint32_t> labels(const std::vector<std::string>& classes) const;

 private:
  struct Met {
    uint32_t number = 0;  // in the order in which they are met
    bool in_train = false;
    bool has_train_images = false;
  };
  Met& met(std::string_view name);
  std::vector<std::string> met_in_order() const;
  void check_listed() const;

  std::vector<std::string> listed_;
  std::map<std::string, Met, std::less<>> met_;
  bool numbered_ = false;  // some class is given by its number
};

}  // namespace ssa
