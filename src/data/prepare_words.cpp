#include "prepare_words.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/system_limits.h"
#include "ssa/data/vocabulary.h"

#include "byte_tally.h"
#include "dataset_files.h"
#include "prepare_inputs.h"
#include "prepare_report.h"
#include "token_file.h"
#include "word_blocks.h"
#include "word_text.h"

namespace ssa {

namespace {

constexpr size_t kMostWorkers = 16;
/// A position after all words of a text.
constexpr int64_t kNowhere = std::numeric_limits<int64_t>::max();

size_t index_of(Split split) { return static_cast<size_t>(split); }

std::span<const uint8_t> as_bytes(const std::vector<int32_t>& tokens) {
  return {reinterpret_cast<const uint8_t*>(tokens.data()), tokens.size() * sizeof(int32_t)};
}

/// How often each word of (part of) a text occurs, and its first position.
class WordCounts {
 public:
  void add(std::string_view word, int64_t position, int64_t count = 1) {
    const auto number = static_cast<size_t>(words_.add(word));
    if (number == counts_.size()) {
      counts_.push_back(0);
      first_.push_back(position);
    }
    counts_[number] += count;
    first_[number] = std::min(first_[number], position);
    total_ += count;
  }
  void add(const WordCounts& other) {
    for (int32_t i = 0; i < other.words_.size(); ++i) {
      const auto number = static_cast<size_t>(i);
      add(other.words_.word(i), other.first_[number], other.counts_[number]);
    }
  }
  int64_t total() const { return total_; }

  /// The words by falling frequency; without those that are rarer than `min_count`, and without the
  /// rarest where there are more than `max_words` (0: no limit). What is left out counts as
  /// kUnknown.
  Vocabulary vocabulary(std::string_view origin, int64_t min_count, int64_t max_words) {
    add(kUnknown, kNowhere, /*count=*/0);
    const int32_t unknown = words_.find(kUnknown), line_end = words_.find(kEndOfLine);
    int64_t room = max_words > 0 ? max_words - 2 : words_.size();
    std::vector<int32_t> kept;
    for (const int32_t number : by_frequency()) {
      const int64_t count = counts_[static_cast<size_t>(number)];
      const bool special = number == unknown || number == line_end;
      if (special || (count >= min_count && room-- > 0)) {
        kept.push_back(number);
      } else {
        counts_[static_cast<size_t>(unknown)] += count;
      }
    }
    sort(kept);
    std::vector<std::string> words;
    std::vector<int64_t> counts;
    for (const int32_t number : kept) {
      words.emplace_back(words_.word(number));
      counts.push_back(counts_[static_cast<size_t>(number)]);
    }
    return Vocabulary::words(words, std::move(counts), origin);
  }

 private:
  void sort(std::vector<int32_t>& numbers) const {
    std::ranges::sort(numbers, [this](int32_t left, int32_t right) {
      const auto a = static_cast<size_t>(left), b = static_cast<size_t>(right);
      return counts_[a] != counts_[b] ? counts_[a] > counts_[b] : first_[a] < first_[b];
    });
  }
  std::vector<int32_t> by_frequency() const {
    std::vector<int32_t> order(counts_.size());
    std::iota(order.begin(), order.end(), 0);
    sort(order);
    return order;
  }

  WordTable words_;
  std::vector<int64_t> counts_;
  std::vector<int64_t> first_;
  int64_t total_ = 0;
};

/// Tokens of a block.
struct EncodedBlock {
  std::vector<int32_t> tokens;
  int64_t unknown = 0;  ///< tokens that are not in the vocabulary
};

class WordPreparer {
 public:
  WordPreparer(const PrepareOptions& options, const std::array<TextSource, 3>& sources,
               FolderWriter& writer)
      : options_(options),
        writer_(writer),
        sources_(sources),
        published_(published_counts(options.name)),
        workers_(std::clamp<size_t>(static_cast<size_t>(usable_processors()), 1, kMostWorkers)),
        report_(options, input_bytes()) {}

  DatasetInfo run() {
    DatasetInfo info;
    info.kind = TokenKind::words;
    const Vocabulary vocabulary =
        options_.texts.vocabulary.empty() ? count_words() : given_vocabulary();
    write_vocabulary(vocabulary, info);
    TokenFileHeader header;
    writer_.start_file(kTokenFile);
    writer_.write(header.as_bytes());
    ByteTally tally;
    for (const Split split : kSplits) write_tokens(split, vocabulary, info, tally);
    header.count = info.tokens;
    writer_.write_at(0, header.as_bytes());
    info.checksum = tally.checksum();
    return info;
  }

 private:
  void tell(const std::string& text) const {
    if (options_.note) options_.note(text);
  }
  const TextSource& source(Split split) const { return sources_[index_of(split)]; }

  /// Bytes read in both passes together.
  int64_t input_bytes() const {
    const int64_t second_pass = size_of_files({sources_.begin(), sources_.end()});
    if (!options_.texts.vocabulary.empty()) return second_pass;
    const TextSource& train = source(Split::train);
    return second_pass + (train.end < 0 ? file_size(train.path) : train.end);
  }

  void report(const WordReader& reader, int64_t written) {
    int64_t& so_far = consumed_[reader.path()];
    so_far = std::max(so_far, reader.consumed());  // an archive may be read more than once
    int64_t total = first_pass_;
    for (const auto& [path, bytes] : consumed_) total += bytes;
    report_.at(total, written);
  }

  void check_utf8(const WordBlock& block, const TextSource& source) const {
    const size_t bad = find_not_utf8(block.text);
    if (bad == std::string::npos) return;
    throw DataError("'{}' is not UTF-8 at byte {}: it is damaged, or not a text", source.label(),
                    block.offset + static_cast<int64_t>(bad));
  }

  /// Throws if a count differs from the published one.
  void check_published(const TextSource& source, int64_t found, int64_t expected,
                       std::string_view what) const {
    if (found == expected) return;
    throw DataError(
        "'{}' has {} {}, but {} has {}: the file is truncated or another text. (`ssa-data prepare "
        "words` takes any text.)",
        source.label(), found, what, published_->title, expected);
  }

  Vocabulary given_vocabulary() const;
  Vocabulary count_words();
  void write_vocabulary(const Vocabulary& vocabulary, DatasetInfo& info);
  void write_tokens(Split split, const Vocabulary& vocabulary, DatasetInfo& info, ByteTally& tally);
  EncodedBlock encode(const WordBlock& block, const Vocabulary& vocabulary) const;

  const PrepareOptions& options_;
  FolderWriter& writer_;
  std::array<TextSource, 3> sources_;
  const PublishedCounts* published_;
  size_t workers_;
  PrepareReport report_;
  WordReader reader_;
  int64_t first_pass_ = 0;                   // bytes read in the first pass
  std::map<std::string, int64_t> consumed_;  // of each file in this pass
};

/// What --vocabulary names: a list of words, or the vocabulary of a run or of prepared words.
Vocabulary WordPreparer::given_vocabulary() const {
  namespace fs = std::filesystem;
  fs::path path = options_.texts.vocabulary;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    path /= kVocabularyFile;
    if (!is_there(path)) {
      throw DataError(
          "--vocabulary '{}' holds no {}: give a run of word_lm, a folder of prepared words, or a "
          "list of words",
          options_.texts.vocabulary, kVocabularyFile);
    }
  }
  if (!is_there(path)) {
    throw DataError(
        "--vocabulary '{}' is not there: give a list of words, a line each, fairseq's dict.txt, a "
        "run of word_lm or a folder of prepared words",
        path.string());
  }
  Vocabulary vocabulary = vocabulary_from_list(read_text(path), path.string());
  tell(fmt::format("the vocabulary is that of {}: {} words", path.string(), vocabulary.size()));
  return vocabulary;
}

/// First pass: the vocabulary of the train split.
Vocabulary WordPreparer::count_words() {
  const TextSource& train = source(Split::train);
  reader_.open(train);
  std::vector<WordCounts> parts(workers_);
  const auto count = [&](size_t worker, const WordBlock& block) {
    check_utf8(block, train);
    WordCounts& part = parts[worker];
    for_each_word(
        block.text,
        [&](std::string_view word, size_t at) {
          part.add(word, block.offset + static_cast<int64_t>(at));
        },
        [&](size_t at) { part.add(kEndOfLine, block.offset + static_cast<int64_t>(at)); });
    return true;
  };
  for_each_block(reader_, workers_, count, [&](bool) { report(reader_, 0); });
  if (!reader_.ended_line()) {
    tell(fmt::format("the last line of {} has no end: one was added", train.label()));
  }
  reader_.check_rest();
  first_pass_ = reader_.consumed();
  consumed_.clear();

  WordCounts counts;
  for (const WordCounts& part : parts) counts.add(part);
  if (counts.total() == 0) throw DataError("'{}' is empty", train.label());
  if (published_) check_published(train, counts.total(), published_->tokens[0], "tokens");
  return counts.vocabulary(train.label(), options_.texts.min_count, options_.texts.max_words);
}

void WordPreparer::write_vocabulary(const Vocabulary& vocabulary, DatasetInfo& info) {
  info.vocabulary = vocabulary.size();
  if (published_) {
    check_published(source(Split::train), info.vocabulary, published_->vocabulary,
                    "different words");
  }
  if (options_.texts.vocabulary.empty() && vocabulary.count(vocabulary.unknown_token()) == 0) {
    tell(fmt::format("the train split has no {}: it was added to the vocabulary", kUnknown));
  }
  const std::string text = vocabulary_to_text(vocabulary);
  info.vocabulary_checksum = vocabulary_checksum(text);
  writer_.start_file(kVocabularyFile);
  writer_.write(text);
}

EncodedBlock WordPreparer::encode(const WordBlock& block, const Vocabulary& vocabulary) const {
  EncodedBlock result;
  result.tokens.reserve(block.text.size() / 4);
  for_each_word(
      block.text,
      [&](std::string_view word, size_t) {
        const int32_t token = vocabulary.find(word);
        result.unknown += token < 0;
        result.tokens.push_back(token < 0 ? vocabulary.unknown_token() : token);
      },
      [&](size_t) { result.tokens.push_back(vocabulary.start_token()); });
  return result;
}

/// Second pass, for one split.
void WordPreparer::write_tokens(Split split, const Vocabulary& vocabulary, DatasetInfo& info,
                                ByteTally& tally) {
  const TextSource& text = source(split);
  const int64_t begin = info.tokens;
  info.splits[index_of(split)] = {begin, begin};
  if (text.is_none()) return;
  int64_t& unknown = info.unknown[index_of(split)];
  reader_.open(text);
  const auto work = [&](size_t, const WordBlock& block) {
    check_utf8(block, text);
    return encode(block, vocabulary);
  };
  for_each_block(reader_, workers_, work, [&](const EncodedBlock& block) {
    writer_.write(as_bytes(block.tokens));
    tally.add(as_bytes(block.tokens));
    info.tokens += static_cast<int64_t>(block.tokens.size());
    unknown += block.unknown;
    report(reader_, tally.bytes());
  });
  if (info.tokens == begin) throw DataError("'{}' is empty", text.label());
  info.splits[index_of(split)] = {begin, info.tokens};
  if (published_) {
    check_published(text, info.tokens - begin, published_->tokens[index_of(split)], "tokens");
  }
  if (unknown > 0) {
    tell(fmt::format("{} of the {} tokens of {} are not in the vocabulary and became {}", unknown,
                     info.tokens - begin, text.label(), kUnknown));
  }
}

}  // namespace

bool is_word_dataset(std::string_view name) {
  return name == "words" || published_counts(name) != nullptr;
}

DatasetInfo prepare_words(const PrepareOptions& options, const std::array<TextSource, 3>& sources,
                          FolderWriter& writer) {
  return WordPreparer(options, sources, writer).run();
}

}  // namespace ssa
