#include "image_labels.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "dataset_files.h"
#include "encoded_image_files.h"
#include "image_paths.h"

namespace ssa {

namespace {

/// Cuts off and returns the first word of a line. Blanks, tabs and commas separate words.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view kBetween = " \t\r,";
  line.remove_prefix(std::min(line.find_first_not_of(kBetween), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBetween));
  line.remove_prefix(word.size());
  return word;
}

/// Calls `visit(line, number)` with each line that is not blank.
template <class Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t length = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) visit(line, number);
  }
}

/// Lines of valprep.sh and LOC_val_solution.csv that name no picture.
bool is_heading(std::string_view line) {
  return line.starts_with('#') || line.starts_with("mkdir ") || line.starts_with("ImageId,");
}

void check_class(std::string_view class_name, const std::string& path, int64_t line) {
  if (class_name.empty()) {
    throw DataError(
        "'{}', line {}: expected FILE CLASS, as in "
        "\"ILSVRC2012_val_00000001.JPEG n01751748\"",
        path, line);
  }
  if (!is_number(class_name)) return;
  throw DataError(
      "'{}', line {}: '{}' is a number, but the class's name is needed, such as n01751748. The "
      "devkit's ILSVRC2012 ids (1 to 1000) are in another order than the names of the classes, so "
      "a number does not tell which class is meant. LOC_val_solution.csv has the names.",
      path, line, class_name);
}

}  // namespace

ImageLabels ImageLabels::read(const std::string& path) {
  ImageLabels labels;
  labels.path_ = path;
  for_each_line(read_text(path), [&](std::string_view line, int64_t number) {
    if (is_heading(line)) return;
    std::string_view file = next_word(line);
    if (file == "mv") file = next_word(line);
    std::string_view class_name = next_word(line);
    if (class_name.ends_with('/')) class_name.remove_suffix(1);
    // The devkit's file of labels has nothing but numbers.
    check_class(class_name.empty() && is_number(file) ? file : class_name, path, number);
    const auto [known, is_new] =
        labels.classes_.try_emplace(std::string(without_ending(file)), class_name);
    if (!is_new && known->second != class_name) {
      throw DataError("'{}', line {}: '{}' has the class '{}', but '{}' further up", path, number,
                      printable(file), class_name, known->second);
    }
  });
  if (labels.classes_.empty()) throw DataError("'{}' has no line FILE CLASS", path);
  return labels;
}

const std::string* ImageLabels::find(std::string_view file) const {
  const auto found = classes_.find(std::string(without_ending(file)));
  return found == classes_.end() ? nullptr : &found->second;
}

std::vector<std::string> read_class_list(const std::string& path) {
  std::vector<std::string> classes;
  std::set<std::string, std::less<>> seen;
  for_each_line(read_text(path), [&](std::string_view line, int64_t number) {
    const std::string_view class_name = next_word(line);
    if (!seen.emplace(class_name).second) {
      throw DataError("'{}', line {}: the class '{}' is there already", path, number, class_name);
    }
    classes.emplace_back(class_name);
  });
  if (classes.empty()) throw DataError("'{}' lists no class", path);
  return classes;
}

}  // namespace ssa
