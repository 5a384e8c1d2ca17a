#include "class_numbers.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "encoded_image_files.h"
#include "image_paths.h"
#include "prepare_inputs.h"

namespace ssa {

namespace {

/// The class of this number; kMostClasses if there cannot be such a one.
int64_t number_of(std::string_view digits) {
  int64_t number = kMostClasses;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return std::min(number, kMostClasses);
}

/// Whether name_of_number() may have made this name.
bool is_class_number(const std::string& name) {
  return is_number(name) && name == fmt::format("{}", number_of(name));
}

/// All numbers from 0 to the largest of these.
std::vector<std::string> up_to_largest(const std::vector<std::string>& numbers) {
  int64_t largest = 0;
  for (const std::string& number : numbers) largest = std::max(largest, number_of(number));
  std::vector<std::string> all;
  for (int64_t number = 0; number <= largest; ++number) all.push_back(fmt::format("{}", number));
  return all;
}

[[noreturn]] void throw_named(std::string_view problem, const std::vector<std::string>& classes) {
  throw DataError("{}:{}", problem, join(classes));
}

}  // namespace

ClassNumbers::Met& ClassNumbers::met(std::string_view name) {
  const auto found = met_.find(name);
  if (found != met_.end()) return found->second;
  const auto number = static_cast<uint32_t>(met_.size());
  return met_.emplace(std::string(name), Met{number}).first->second;
}

uint32_t ClassNumbers::add_image(std::string_view name, Split split) {
  Met& found = met(name);
  if (split == Split::train) found.in_train = found.has_train_images = true;
  return found.number;
}

void ClassNumbers::add_folder(std::string_view name, Split split) {
  if (split == Split::train) met(name).in_train = true;
}

std::string ClassNumbers::name_of_number(std::string_view number) {
  const int64_t place = number_of(number);
  numbered_ = true;
  if (listed_.empty()) return fmt::format("{}", place);
  if (place < std::ssize(listed_)) return listed_[static_cast<size_t>(place)];
  throw DataError("a picture has the class {}, but --classes lists {}", number, listed_.size());
}

std::vector<std::string> ClassNumbers::met_in_order() const {
  const bool has_train = std::ranges::any_of(met_, [](auto& c) { return c.second.in_train; });
  std::vector<std::string> in_order, without_train, without_images;
  for (const auto& [name, found] : met_) {
    if (found.in_train || !has_train) in_order.push_back(name);
    if (has_train && !found.in_train) without_train.push_back(printable(name));
    if (found.in_train && !found.has_train_images) without_images.push_back(printable(name));
  }
  if (!without_train.empty()) {
    throw_named(
        "these classes are in val or test, but not in train, so that nothing could learn them. Add "
        "them to train, remove them, or list all classes in order with --classes",
        without_train);
  }
  if (!without_images.empty()) {
    throw_named(
        "these classes of train have no picture (.jpeg, .jpg or .png). Remove their folders, which "
        "changes the numbers of the classes behind them, or list all classes with --classes",
        without_images);
  }
  return in_order;
}

void ClassNumbers::check_listed() const {
  std::vector<std::string> sorted = listed_, unknown;
  std::ranges::sort(sorted);
  for (const auto& [name, found] : met_) {
    if (!std::ranges::binary_search(sorted, name)) unknown.push_back(printable(name));
  }
  if (!unknown.empty()) throw_named("these classes are not in the list of --classes", unknown);
}

std::vector<std::string> ClassNumbers::classes() const {
  std::vector<std::string> result = listed_;
  if (!listed_.empty()) {
    check_listed();
  } else {
    result = met_in_order();
    if (numbered_ && std::ranges::all_of(result, is_class_number)) result = up_to_largest(result);
  }
  if (std::ssize(result) > kMostClasses) {
    throw DataError("there are {} classes, but an index holds at most {}", result.size(),
                    kMostClasses);
  }
  return result;
}

std::vector<uint32_t> ClassNumbers::labels(const std::vector<std::string>& classes) const {
  std::map<std::string_view, uint32_t> numbers;
  for (size_t i = 0; i < classes.size(); ++i) numbers[classes[i]] = static_cast<uint32_t>(i);
  std::vector<uint32_t> labels(met_.size());
  for (const auto& [name, found] : met_) labels[found.number] = numbers.at(name);
  return labels;
}

}  // namespace ssa
