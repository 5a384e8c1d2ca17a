#include "prepare_ids.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/vocabulary.h"

#include "byte_tally.h"
#include "dataset_files.h"
#include "id_reader.h"
#include "prepare_inputs.h"
#include "prepare_report.h"
#include "token_file.h"

namespace ssa {

namespace {

/// The ids that begin a text in llm.c's data, as far as the vocabulary has them: <|endoftext|>, and
/// <|begin_of_text|>.
constexpr int32_t kGpt2Start = 50'256;
constexpr int32_t kLlama3Start = 128'000;

int64_t vocabulary_of(const TextOptions& texts) {
  const std::string& given = texts.vocabulary;
  int64_t size = 0;
  const auto [stop, error] = std::from_chars(given.data(), given.data() + given.size(), size);
  const bool whole = error == std::errc() && stop == given.data() + given.size();
  if (whole && size >= 1 && size <= std::numeric_limits<int32_t>::max()) return size;
  throw ConfigError(
      "--vocabulary {}: of ids, give how many different ones the tokenizer has, such as 50257",
      given.empty() ? "is missing" : given);
}

int64_t width_of(const TextOptions& texts) {
  if (texts.dtype.empty()) return 0;
  if (texts.dtype == "u16") return 2;
  if (texts.dtype == "u32") return 4;
  throw ConfigError("--dtype {}: give u16 or u32", texts.dtype);
}

class IdPreparer {
 public:
  IdPreparer(const PrepareOptions& options, const TextInputs& inputs, FolderWriter& writer)
      : options_(options),
        inputs_(inputs),
        writer_(writer),
        report_(options, size_of_files(inputs.all())) {
    info_.kind = TokenKind::ids;
    info_.vocabulary = vocabulary_of(options.texts);
  }

  DatasetInfo run() {
    read_names();
    TokenFileHeader header{.width = static_cast<uint32_t>(info_.token_width())};
    writer_.start_file(kTokenFile);
    writer_.write(header.as_bytes());
    for (const TextSource& source : inputs_.together) copy(source);
    for (const Split split : kSplits) {
      const int64_t begin = info_.tokens;
      for (const TextSource& source : inputs_.of(split)) copy(source);
      info_.splits[static_cast<size_t>(split)] = {begin, info_.tokens};
    }
    if (!inputs_.by_name()) {
      info_.splits = options_.texts.split.value_or(SplitShares())
                         .ranges(info_.tokens,
                                 fmt::format("'{}'", inputs_.together.front().label()), "tokens");
    }
    header.count = info_.tokens;
    writer_.write_at(0, header.as_bytes());
    info_.checksum = tally_.checksum();
    write_vocabulary();
    return info_;
  }

 private:
  void read_names();
  void copy(const TextSource& source);
  void check(const std::vector<uint32_t>& ids, const IdReader& reader,
             const TextSource& source) const;
  void write(const std::vector<uint32_t>& ids);
  int32_t start_token() const;
  void write_vocabulary();

  const PrepareOptions& options_;
  const TextInputs& inputs_;
  FolderWriter& writer_;
  PrepareReport report_;
  DatasetInfo info_;
  ByteTally tally_;
  std::vector<std::string> names_;  // the text of each id; empty: not known
  std::vector<uint16_t> narrow_;
  std::optional<IdHeader> header_;  // of the first file
  int64_t read_before_ = 0;         // bytes of the files before this one
};

void IdPreparer::read_names() {
  const std::string& path = options_.texts.names;
  if (path.empty()) return;
  names_ = id_texts_from_lines(read_text(path), path);
  if (std::ssize(names_) == info_.vocabulary) return;
  throw DataError("--names '{}' has {} lines, but --vocabulary says {} ids: one line for each",
                  path, names_.size(), info_.vocabulary);
}

void IdPreparer::copy(const TextSource& source) {
  IdReader reader(source.path, width_of(options_.texts));
  if (!header_) header_ = reader.header();
  const int64_t before = info_.tokens;
  std::vector<uint32_t> ids;
  while (reader.next(ids)) {
    check(ids, reader, source);
    write(ids);
    info_.tokens += std::ssize(ids);
    report_.at(read_before_ + reader.consumed(), tally_.bytes());
  }
  if (info_.tokens == before) throw DataError("input '{}' is empty", source.label());
  read_before_ += reader.consumed();
}

void IdPreparer::check(const std::vector<uint32_t>& ids, const IdReader& reader,
                       const TextSource& source) const {
  const auto wrong = std::ranges::find_if(
      ids, [this](uint32_t id) { return static_cast<int64_t>(id) >= info_.vocabulary; });
  if (wrong == ids.end()) return;
  throw DataError(
      "'{}': id {} at byte {} is beyond the vocabulary of {} (ids 0 to {}). Give the tokenizer's "
      "number of tokens as --vocabulary, and the right --dtype",
      source.label(), *wrong, reader.offset() + (wrong - ids.begin()) * reader.width(),
      info_.vocabulary, info_.vocabulary - 1);
}

void IdPreparer::write(const std::vector<uint32_t>& ids) {
  std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(ids.data()), 4 * ids.size());
  if (info_.token_width() == 2) {
    narrow_.assign(ids.begin(), ids.end());
    bytes = {reinterpret_cast<const uint8_t*>(narrow_.data()), 2 * narrow_.size()};
  }
  writer_.write(bytes);
  tally_.add(bytes);
}

int32_t IdPreparer::start_token() const {
  const auto given = options_.texts.start_token;
  if (given && (*given < 0 || *given >= info_.vocabulary)) {
    throw ConfigError("--start-token {}: the vocabulary has ids 0 to {}", *given,
                      info_.vocabulary - 1);
  }
  if (given) return static_cast<int32_t>(*given);
  const int32_t known = header_ == IdHeader::gpt2     ? kGpt2Start
                        : header_ == IdHeader::llama3 ? kLlama3Start
                                                      : 0;
  return known < info_.vocabulary ? known : 0;
}

void IdPreparer::write_vocabulary() {
  const int32_t start = start_token();
  if (options_.note) {
    options_.note(fmt::format("id {} is what a model reads before the first token of a split{}",
                              start,
                              options_.texts.start_token ? "" : "; --start-token names another"));
  }
  const std::string text =
      vocabulary_to_text(Vocabulary::ids(info_.vocabulary, start, std::move(names_)));
  info_.vocabulary_checksum = vocabulary_checksum(text);
  writer_.start_file(kIdFile);
  writer_.write(text);
}

}  // namespace

DatasetInfo prepare_ids(const PrepareOptions& options, const TextInputs& inputs,
                        FolderWriter& writer) {
  return IdPreparer(options, inputs, writer).run();
}

}  // namespace ssa
