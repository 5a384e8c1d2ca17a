#include "image_paths.h"

#include <algorithm>
#include <array>

namespace ssa {

namespace {

using namespace std::string_view_literals;

constexpr std::array kPictureEndings = {".jpeg"sv, ".jpg"sv, ".png"sv};

bool ends_with_ignoring_case(std::string_view text, std::string_view ending) {
  return text.size() > ending.size() &&
         std::ranges::equal(text.substr(text.size() - ending.size()), ending, [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b;
         });
}

/// Cuts off and returns what stands before the next of `separators`.
std::string_view next_part(std::string_view& text, std::string_view separators) {
  const std::string_view part = text.substr(0, text.find_first_of(separators));
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return part;
}

}  // namespace

bool is_picture_name(std::string_view file) { return without_ending(file).size() < file.size(); }

std::string_view without_ending(std::string_view file) {
  for (const std::string_view ending : kPictureEndings) {
    if (ends_with_ignoring_case(file, ending)) return file.substr(0, file.size() - ending.size());
  }
  return file;
}

bool is_hidden(std::string_view path) {
  while (!path.empty()) {
    const std::string_view part = next_part(path, "/");
    if (part.starts_with('.') || part == "__MACOSX") return true;
  }
  return false;
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string plain_path(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::string_view part = next_part(path, "/");
    if (part.empty() || part == ".") continue;
    if (!result.empty()) result += '/';
    result += part;
  }
  return result;
}

std::string key_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return path.substr(0, path.find('.', slash == std::string::npos ? 0 : slash));
}

std::optional<Split> split_of_folder(std::string_view name) {
  if (name == "train") return Split::train;
  if (name == "val" || name == "valid" || name == "validation") return Split::valid;
  if (name == "test") return Split::test;
  return std::nullopt;
}

std::optional<Split> split_of_name(std::string_view name) {
  while (!name.empty()) {
    if (const auto split = split_of_folder(next_part(name, "_-. "))) return split;
  }
  return std::nullopt;
}

size_t behind_split(std::string_view path, std::optional<Split>& split) {
  for (size_t begin = 0, end = 0; (end = path.find('/', begin)) != std::string_view::npos;
       begin = end + 1) {
    split = split_of_folder(path.substr(begin, end - begin));
    if (split) return end + 1;
  }
  return 0;
}

}  // namespace ssa
