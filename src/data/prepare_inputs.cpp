#include "prepare_inputs.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/vocabulary.h"

#include "input_stream.h"
#include "list_folder.h"
#include "prepare_encoded_images.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kEnwik8 = "enwik8";
constexpr size_t kNamesInMessages = 10;

void tell(const PrepareOptions& options, const std::string& text) {
  if (options.note) options.note(text);
}

/// enwik8, enwik8.zip, ..., and prefixes: enwik8_first_N with or without a packed ending.
bool names_enwik8(const std::string& file) {
  if (file == kEnwik8 || file.starts_with("enwik8_first_")) return true;
  return std::ranges::any_of(packed_suffixes(), [&](std::string_view suffix) {
    return file == std::string(kEnwik8) + std::string(suffix);
  });
}

/// The only candidate in a folder.
std::string choose_in_folder(const PrepareOptions& options, const std::string& folder) {
  refuse_prepared(folder);
  std::error_code error;
  std::vector<std::string> candidates;
  for (const fs::path& entry : list_folder(folder, error)) {
    const std::string file = entry.filename().string();
    std::error_code ignored;  // an unreadable entry is not a candidate
    if (fs::is_regular_file(entry, ignored) && names_enwik8(file)) {
      candidates.push_back(entry.string());
    }
  }
  if (error) throw DataError("cannot list '{}': {}", folder, error.message());
  if (candidates.empty()) {
    throw DataError("'{}' holds no enwik8, enwik8.zip or the like: give the file itself as --input",
                    folder);
  }
  if (candidates.size() > 1) {
    throw DataError("'{}' holds several candidates; give one as --input:{}", folder,
                    join(candidates));
  }
  tell(options, fmt::format("reading {}", candidates.front()));
  return candidates.front();
}

std::vector<std::string> members_of(const std::string& path) {
  std::vector<std::string> members;
  InputStream stream(path);
  if (!stream.is_archive()) return members;
  while (stream.next_member()) members.push_back(stream.member());
  if (members.empty()) throw DataError("archive '{}' holds no file", path);
  return members;
}

/// The member called enwik8, else the only one.
std::string choose_member(const PrepareOptions& options, const std::string& path,
                          const std::vector<std::string>& members) {
  if (members.size() == 1) return members.front();
  std::vector<std::string> named;
  for (const std::string& member : members) {
    if (fs::path(member).filename() == kEnwik8) named.push_back(member);
  }
  if (named.size() != 1) {
    throw DataError(
        "archive '{}' has {} files, {} of them called enwik8: unpack the right one and give it as "
        "--input. It holds:{}",
        path, members.size(), named.empty() ? "none" : "several", join(members));
  }
  tell(options,
       fmt::format("reading only {} of the {} files in {}", named.front(), members.size(), path));
  return named.front();
}

void check_name(const std::string& name) {
  std::string supported;
  for (const KnownDataset& known : known_datasets()) {
    if (known.supported) supported += fmt::format(" {}", known.name);
    if (known.name != name) continue;
    if (known.supported) return;
    throw ConfigError(
        "data set '{}' is not supported by this version; see `ssa-data list` for those that are",
        name);
  }
  throw ConfigError(
      "unknown data set '{}'; supported:{} (`bytes` takes any file, `words` any text, `ids` any "
      "tokenizer's numbers)",
      name, supported);
}

/// Options that another data set has are of no effect, and so a mistake.
void check_text_options(const PrepareOptions& options) {
  const TextOptions& given = options.texts;
  const bool bytes = options.name == "bytes", words = options.name == "words";
  const bool ids = options.name == "ids";
  const auto require = [&](bool fits, std::string_view option, std::string_view whose) {
    if (fits) return;
    throw ConfigError("{} is for {}, not for `{}`", option, whose, options.name);
  };
  require(!given.split || bytes || words || ids, "--split 90/5/5 or none",
          "`bytes`, `words` and `ids`");
  require(given.column.empty() || bytes || words, "--column", "`bytes` and `words`");
  require(given.vocabulary.empty() || words || ids, "--vocabulary", "`words` and `ids`");
  require(given.min_count == 0 || words, "--min-count", "`words`");
  require(given.max_words == 0 || words, "--max-words", "`words`");
  require(given.dtype.empty() || ids, "--dtype", "`ids`");
  require(given.names.empty() || ids, "--names", "`ids`");
  require(!given.start_token || ids, "--start-token", "`ids`");
  if (words && !given.vocabulary.empty() && (given.min_count > 0 || given.max_words > 0)) {
    throw ConfigError(
        "--vocabulary gives all words: --min-count and --max-words are for a vocabulary that is "
        "made of the train split. Leave them out");
  }
  if (given.min_count < 0) throw ConfigError("--min-count {}: give 1 or more", given.min_count);
  if (given.max_words != 0 && given.max_words < 3) {
    throw ConfigError("--max-words {}: give 3 or more, for {} and {} are words, too",
                      given.max_words, kEndOfLine, kUnknown);
  }
}

}  // namespace

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesInMessages); ++i) text += "\n  " + names[i];
  if (names.size() > kNamesInMessages) {
    text += fmt::format("\n  … {} more", names.size() - kNamesInMessages);
  }
  return text;
}

int64_t size_of_files(const std::vector<TextSource>& sources) {
  std::set<std::string> paths;  // an archive may hold several texts
  int64_t bytes = 0;
  for (const TextSource& source : sources) {
    if (!source.is_none() && paths.insert(source.path).second) bytes += file_size(source.path);
  }
  return bytes;
}

int64_t file_size(const std::string& path) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (error) throw DataError("cannot read '{}': {}", path, error.message());
  return size;
}

void refuse_prepared(const std::string& folder) {
  std::error_code ignored;
  if (fs::exists(fs::path(folder) / kDatasetFile, ignored)) {
    throw DataError("'{}' is already a prepared data set: give it as data.path", folder);
  }
}

void check_options(const PrepareOptions& options) {
  check_name(options.name);
  if (options.inputs.empty()) throw ConfigError("no --input given");
  if (options.output.empty()) throw ConfigError("no --output given");
  if (options.skip_bad_images && options.name != "images" &&
      !is_encoded_image_dataset(options.name)) {
    throw ConfigError(
        "--on-bad-image skip is for `images` and `imagenet`, whose pictures are files of their "
        "own; {} has none. Leave it out",
        options.name);
  }
  check_encoded_options(options);
  check_text_options(options);
  const bool enwik8 = options.name == kEnwik8;
  if (enwik8 && options.inputs.size() > 1) {
    throw ConfigError("enwik8 is made from one file, {} inputs are given; `bytes` takes several",
                      options.inputs.size());
  }
  for (const std::string& given : options.inputs) {
    std::error_code error;
    if (fs::exists(given, error)) continue;
    if (error) throw DataError("cannot read input '{}': {}", given, error.message());
    throw DataError("input '{}' does not exist{}", given,
                    enwik8 ? fmt::format(". enwik8 is a text of {} bytes, mostly found as "
                                         "enwik8.zip",
                                         kEnwik8Bytes)
                           : "");
  }
}

TextSource settle_enwik8(const PrepareOptions& options) {
  const std::string& given = options.inputs.front();
  std::error_code error;
  TextSource source{fs::is_directory(given, error) ? choose_in_folder(options, given) : given};
  const std::vector<std::string> members = members_of(source.path);
  if (!members.empty()) source.member = choose_member(options, source.path, members);
  return source;
}

}  // namespace ssa
