#include "text_inputs.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "column_reader.h"
#include "input_stream.h"
#include "list_folder.h"
#include "prepare_inputs.h"
#include "prepare_words.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

struct Candidate {
  TextSource source;
  std::optional<Split> split;  ///< that its name states
  bool from_folder = false;
};

void tell(const PrepareOptions& options, const std::string& text) {
  if (options.note) options.note(text);
}

/// Whether a file of this name may be a text of a split: of words there are other forms of the same
/// texts beside them, such as wiki.train.raw.
bool has_fitting_ending(const std::string& name, const PrepareOptions& options) {
  if (options.name == "ids") return true;
  if (!options.texts.column.empty()) return table_format_of(name).has_value();
  if (name.ends_with(".tokens") || name.ends_with(".txt")) return true;
  return !is_word_dataset(options.name) && name.ends_with(".raw");
}

std::optional<Split> split_of_word(std::string_view word) {
  if (word == "val" || word == "validation") return Split::valid;
  for (const Split split : kSplits) {
    if (word == ssa::name(split)) return split;
  }
  return std::nullopt;
}

/// wiki.train.tokens, train.txt and ptb-train.txt are train; of train-test.txt it is not clear.
std::optional<Split> split_of(const std::string& path, const PrepareOptions& options) {
  const std::string name = without_packed_suffix(fs::path(path).filename().string());
  if (!has_fitting_ending(name, options)) return std::nullopt;
  std::optional<Split> found;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find_first_of("._-", begin), name.size());
    if (const auto split = split_of_word(std::string_view(name).substr(begin, end - begin))) {
      if (found) return std::nullopt;
      found = split;
    }
    begin = end + 1;
  }
  return found;
}

/// Names of members state splits of words only: other archives are one text.
void add_file(const std::string& path, bool from_folder, const PrepareOptions& options,
              std::vector<Candidate>& candidates) {
  InputStream stream(path);
  if (!stream.is_archive()) {
    candidates.push_back({{path}, split_of(path, options), from_folder});
    return;
  }
  const size_t before = candidates.size();
  while (stream.next_member()) {
    const auto split =
        is_word_dataset(options.name) ? split_of(stream.member(), options) : std::nullopt;
    candidates.push_back({{path, stream.member()}, split, /*from_folder=*/true});
  }
  if (candidates.size() == before) throw DataError("archive '{}' holds no file", path);
}

/// Files in a folder and below, in the order of their names. Hidden ones are left out.
void add_folder(const std::string& folder, const PrepareOptions& options,
                std::vector<Candidate>& candidates) {
  std::error_code error;
  for (const fs::path& entry : list_folder(folder, error)) {
    std::error_code ignored;  // an unreadable entry is not a candidate
    if (entry.filename().string().starts_with('.')) continue;
    if (fs::is_directory(entry, ignored) && !fs::is_symlink(entry, ignored)) {
      add_folder(entry.string(), options, candidates);
    } else if (fs::is_regular_file(entry, ignored)) {
      add_file(entry.string(), /*from_folder=*/true, options, candidates);
    }
  }
  if (error) throw DataError("cannot list '{}': {}", folder, error.message());
}

std::vector<Candidate> candidates_in(const PrepareOptions& options) {
  std::vector<Candidate> candidates;
  for (const std::string& given : options.inputs) {
    std::error_code error;
    if (!fs::is_directory(given, error)) {
      add_file(given, /*from_folder=*/false, options, candidates);
      continue;
    }
    refuse_prepared(given);
    const size_t before = candidates.size();
    add_folder(given, options, candidates);
    if (candidates.size() == before) throw DataError("'{}' holds no file", given);
  }
  return candidates;
}

std::string labels(const std::vector<TextSource>& sources) {
  std::vector<std::string> names;
  for (const TextSource& source : sources) names.push_back(source.label());
  return names.empty() ? " nothing of the kind" : join(names);
}

bool names_state_splits(const std::vector<Candidate>& candidates, const PrepareOptions& options) {
  if (published_counts(options.name)) return true;
  if (options.texts.split) return false;
  const auto has = [&](Split split) {
    return std::ranges::find(candidates, split, &Candidate::split) != candidates.end();
  };
  return has(Split::train) && (has(Split::valid) || has(Split::test));
}

/// Ids come in many files of a split. Of texts, several may be other forms of the same.
void require_clear(const TextInputs& inputs, const PrepareOptions& options) {
  std::vector<TextSource> found = inputs.all();
  for (const Split split : kSplits) {
    const std::vector<TextSource>& fitting = inputs.of(split);
    if (fitting.empty() && published_counts(options.name)) {
      throw DataError(
          "no text of the {} split in '{}': wiki.{}.tokens (or {}.txt) is expected there, as a "
          "file or in an archive, beside the other splits. Found:{}",
          name(split), fmt::join(options.inputs, "', '"), name(split), name(split), labels(found));
    }
    if (fitting.empty()) {
      tell(options,
           fmt::format("no file is named {}: there is no {} split", name(split), name(split)));
    }
    if (fitting.size() > 1 && options.name != "ids") {
      throw DataError("several files fit the {} split; give the right ones as --input:{}",
                      name(split), labels(fitting));
    }
  }
}

TextInputs divided_by_name(std::vector<Candidate> candidates, const PrepareOptions& options) {
  TextInputs inputs;
  std::vector<std::string> left_out;
  for (Candidate& one : candidates) {
    if (one.split) {
      inputs.named[static_cast<size_t>(*one.split)].push_back(std::move(one.source));
    } else if (one.from_folder || published_counts(options.name)) {
      left_out.push_back(one.source.label());
    } else {
      throw DataError(
          "'{}' names no split, but other inputs do. Leave it out, name it for a split (train, "
          "valid "
          "or test), or put all inputs together with --split 90/5/5",
          one.source.path);
    }
  }
  require_clear(inputs, options);
  if (!left_out.empty()) tell(options, "left out, since they name no split:" + join(left_out));
  return inputs;
}

TextInputs put_together(std::vector<Candidate> candidates, const PrepareOptions& options) {
  TextInputs inputs;
  std::vector<std::string> names;
  for (Candidate& one : candidates) {
    names.push_back(one.source.label());
    one.source.member.clear();  // all members, in one go
    const bool again = !inputs.together.empty() && one.source.path == inputs.together.back().path;
    if (!again) inputs.together.push_back(std::move(one.source));
  }
  if (names.size() > 1) {
    tell(options,
         fmt::format("putting {} files together, in this order:{}", names.size(), join(names)));
  }
  return inputs;
}

/// Whoever gives a table rarely means its commas.
void tell_of_tables(const TextInputs& inputs, const PrepareOptions& options) {
  if (!options.texts.column.empty() || options.name == "ids") return;
  const std::vector<TextSource> sources = inputs.all();
  const auto table = std::ranges::find_if(
      sources, [](const TextSource& one) { return table_format_of(one.label()).has_value(); });
  if (table == sources.end()) return;
  tell(options, fmt::format("{} is taken as it is, with its separators; --column NAME takes one "
                            "column of a table",
                            table->label()));
}

}  // namespace

std::vector<TextSource> TextInputs::all() const {
  std::vector<TextSource> sources = together;
  for (const auto& split : named) sources.insert(sources.end(), split.begin(), split.end());
  return sources;
}

TextInputs settle_text_inputs(const PrepareOptions& options) {
  if (options.name == "enwik8") {
    TextInputs inputs;
    inputs.together = {settle_enwik8(options)};
    return inputs;
  }
  std::vector<Candidate> candidates = candidates_in(options);
  TextInputs inputs = names_state_splits(candidates, options)
                          ? divided_by_name(std::move(candidates), options)
                          : put_together(std::move(candidates), options);
  tell_of_tables(inputs, options);
  return inputs;
}

}  // namespace ssa
