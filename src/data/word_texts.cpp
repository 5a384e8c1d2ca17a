#include "word_texts.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "input_stream.h"
#include "prepare_inputs.h"
#include "text_copier.h"

namespace ssa {

namespace {

size_t index_of(Split split) { return static_cast<size_t>(split); }

/// "book.txt", or "book.txt and 2 more, put together".
std::string title_of(const std::vector<TextSource>& sources) {
  const std::string first = sources.front().label();
  return sources.size() == 1
             ? first
             : fmt::format("{} and {} more, put together", first, sources.size() - 1);
}

/// The place behind the line that byte `at` is in, or `at` where a line begins there.
int64_t next_line(std::ifstream& file, int64_t at, int64_t size) {
  if (at == 0 || at >= size) return at;
  file.clear();
  file.seekg(at - 1);
  file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  return file.eof() ? size : static_cast<int64_t>(file.tellg());
}

/// Parts of a plain file, which end where lines do.
std::array<TextSource, 3> cut(const TextSource& whole, const SplitShares& shares) {
  const int64_t size = file_size(whole.path);
  const std::string what = fmt::format("'{}'", whole.label());
  const std::array<TokenRange, 3> ranges = shares.ranges(size, what, "bytes");
  std::ifstream file(whole.path, std::ios::binary);
  if (!file) throw DataError("cannot read '{}'", whole.path);
  std::array<TextSource, 3> parts;
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t end = next_line(file, ranges[i].end, size);
    if (ranges[i].size() == 0) continue;
    if (end <= begin) {
      throw DataError(
          "{} has too few lines to divide it into train, valid and test: it is cut between lines. "
          "Give more, or another --split",
          what);
    }
    parts[i] = {whole.path, "", begin, end,
                fmt::format("{} ({})", whole.label(), name(kSplits[i]))};
    begin = end;
  }
  return parts;
}

}  // namespace

WordTexts::WordTexts(const PrepareOptions& options, const TextInputs& inputs, FolderWriter& writer)
    : writer_(writer) {
  if (inputs.by_name()) {
    copy_named(options, inputs);
    return;
  }
  const TextSource& first = inputs.together.front();
  const bool as_it_is = inputs.together.size() == 1 && options.texts.column.empty() &&
                        first.member.empty() && !packed_format(first.path);
  const TextSource whole = as_it_is ? first : copy(options, inputs.together, "text.tmp");
  sources_ = cut(whole, options.texts.split.value_or(SplitShares()));
}

WordTexts::~WordTexts() {
  std::error_code ignored;
  for (const std::string& path : copies_) std::filesystem::remove(path, ignored);
}

void WordTexts::copy_named(const PrepareOptions& options, const TextInputs& inputs) {
  for (const Split split : kSplits) {
    const std::vector<TextSource>& texts = inputs.of(split);
    if (texts.empty()) continue;
    sources_[index_of(split)] = options.texts.column.empty()
                                    ? texts.front()
                                    : copy(options, texts, fmt::format("{}.tmp", name(split)));
  }
}

TextSource WordTexts::copy(const PrepareOptions& options, const std::vector<TextSource>& from,
                           const std::string& file_name) {
  PrepareOptions silent = options;  // the passes over the copy show their progress
  silent.progress = nullptr;
  writer_.start_file(file_name);
  copies_.push_back((writer_.partial() / file_name).string());
  TextCopier copier(silent, from, writer_);
  for (const TextSource& one : from) copier.copy(one);
  return {copies_.back(), "", 0, -1, title_of(from)};
}

}  // namespace ssa
