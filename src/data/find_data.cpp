#include "find_data.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/dataset_info.h"

#include "input_stream.h"
#include "list_folder.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code ignored;  // a path without permission counts as missing
  return fs::exists(path, ignored);
}

/// The path itself, then under $SSA_DATA_DIR with fewer and fewer leading components.
std::vector<fs::path> places(const fs::path& path) {
  std::vector<fs::path> result = {path};
  const char* root = std::getenv("SSA_DATA_DIR");
  if (!root || !*root || path.is_absolute()) return result;
  const fs::path normal = path.lexically_normal();
  for (auto first = normal.begin(); first != normal.end(); ++first) {
    fs::path tail;
    for (auto part = first; part != normal.end(); ++part) tail /= *part;
    // "../enwik8" must not climb out of the data folder.
    if (!tail.empty() && *first != "..") result.push_back(fs::path(root) / tail);
  }
  return result;
}

bool is_enwik8(const fs::path& path) { return path.filename().string().starts_with("enwik8"); }

/// "wikitext2" or "wikitext103" for names like wikitext-103-v1.zip; empty for others.
std::string wikitext_name(const fs::path& path) {
  const std::string file = path.filename().string();
  for (const std::string number : {"103", "2"}) {
    for (const std::string dash : {"", "-"}) {
      const std::string stem = "wikitext" + dash + number;
      if (!file.starts_with(stem)) continue;
      const char next = file.size() > stem.size() ? file[stem.size()] : '\0';
      if (next < '0' || next > '9') return "wikitext" + number;
    }
  }
  return {};
}

bool is_packed_name(const fs::path& path) {
  const std::string file = path.filename().string();
  return std::ranges::any_of(packed_suffixes(),
                             [&](auto suffix) { return file.ends_with(suffix); });
}

/// A packed file that could become the data set looked for; empty if there is none.
fs::path packed_form_of(const fs::path& wanted) {
  for (const std::string_view suffix : packed_suffixes()) {
    fs::path candidate = wanted;
    candidate += suffix;
    if (is_there(candidate)) return candidate;
  }
  const bool enwik8 = wanted.filename() == "enwik8";
  const std::string wikitext = wikitext_name(wanted);
  if (!enwik8 && wikitext.empty()) return {};
  std::error_code ignored;
  for (const fs::path& file :
       list_folder(wanted.has_parent_path() ? wanted.parent_path() : fs::path("."), ignored)) {
    if (enwik8 && file.filename().string().starts_with("enwik8_first_")) return file;
    if (wikitext.empty() || wikitext_name(file) != wikitext) continue;
    if (is_packed_name(file)) return file;
  }
  return {};
}

}  // namespace

std::string prepare_command(const fs::path& input, const fs::path& output) {
  const std::string wikitext = wikitext_name(input);
  const bool imagenet = input.filename().string().starts_with("imagenet");  // imagenette, too
  const bool words = is_there(input / "wiki.train.tokens");
  const std::string name = is_enwik8(input)    ? "enwik8"
                           : !wikitext.empty() ? wikitext
                           : imagenet          ? "imagenet"
                           : words             ? "words"
                                               : "bytes";
  return fmt::format("ssa-data prepare {} --input {} --output {}", name, input.string(),
                     output.string());
}

fs::path find_data(const std::string& path) {
  if (path.empty()) throw DataError("no data given: set data.path to a prepared folder or a file");
  const std::vector<fs::path> looked = places(path);
  for (const fs::path& place : looked) {
    if (is_there(place)) return place;
  }
  for (const fs::path& place : looked) {
    if (const fs::path packed = packed_form_of(place); !packed.empty()) {
      throw DataError("no prepared data at '{}', but there is '{}'. Prepare it once:\n  {}", path,
                      packed.string(), prepare_command(packed, path));
    }
  }
  std::string places_text;
  for (const fs::path& place : looked) places_text += fmt::format("\n  {}", place.string());
  const std::string size =
      is_enwik8(path) ? fmt::format(" (enwik8 is a text of {} bytes)", kEnwik8Bytes) : "";
  throw DataError(
      "no data at '{}'{}. Looked at:{}\nGive a prepared folder (`ssa-data prepare`) or a plain "
      "file, or set SSA_DATA_DIR to the folder that holds it.",
      path, size, places_text);
}

}  // namespace ssa
