#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/files.h"

// What the fuzz targets share. A target is a program with one function: it gives any bytes to a
// parser, which has to return a value or to throw the exception that its header names.

/// The entry point that libFuzzer and run_corpus.cpp call.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ssa::fuzz {

inline std::string text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Ends the process unless the condition holds: the fuzzer then keeps the input.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: this does not hold: %s\n", what);
  std::abort();
}

/// The result of parse(); nothing if it threw a documented exception. Any other exception ends the
/// process.
template <class Documented, class Parse>
auto parsed(Parse&& parse) -> std::optional<decltype(parse())> {
  try {
    return parse();
  } catch (const Documented&) {
    return std::nullopt;
  }
}

/// The same for a call without a result. Returns whether it came to its end.
template <class Documented, class Call>
bool accepted(Call&& call) {
  return parsed<Documented>([&] {
           call();
           return true;
         })
      .has_value();
}

/// Several texts in one input: a line "=== NAME" begins the text of that name. What stands before
/// the first such line is the text `first`.
using Parts = std::map<std::string, std::string>;
inline Parts parts_of(std::string_view input, const std::string& first) {
  constexpr std::string_view kMark = "=== ";
  Parts parts;
  std::string* part = &parts[first];
  while (!input.empty()) {
    const size_t end = input.find('\n');
    const std::string_view line = input.substr(0, end);
    const size_t width = end == std::string_view::npos ? line.size() : line.size() + 1;
    if (line.starts_with(kMark)) {
      part = &parts[std::string(line.substr(kMark.size()))];
    } else {
      part->append(input.substr(0, width));
    }
    input.remove_prefix(width);
  }
  return parts;
}

/// The lines of a text.
inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

/// The folder in which this process puts an input, for parsers that read files.
inline const testing::TempDir& folder() {
  static const testing::TempDir folder;
  return folder;
}

/// Writes those of the named parts that there are into a folder, and removes the others.
inline void write_parts(const Parts& parts, const std::string& dir,
                        std::initializer_list<const char*> names) {
  std::error_code ignored;
  for (const char* name : names) {
    const std::string path = dir + "/" + name;
    if (const auto part = parts.find(name); part != parts.end()) {
      testing::write_bytes(path, part->second);
    } else {
      std::filesystem::remove(path, ignored);
    }
  }
}

}  // namespace ssa::fuzz
