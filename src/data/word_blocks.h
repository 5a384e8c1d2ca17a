#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "input_stream.h"
#include "text_source.h"

namespace ssa {

/// A piece of a text, cut between words. The last piece ends with '\n', which is added if it is
/// missing.
struct WordBlock {
  std::string text;
  int64_t offset = 0;  ///< of its first byte in the text
};

/// Reads the texts of the splits in blocks. An archive stays open as long as its texts are read in
/// its order.
class WordReader {
 public:
  WordReader();
  /// Goes to the beginning of a text. Like all functions here, throws DataError if the input is
  /// damaged.
  void open(const TextSource& source);
  /// The next block; false at the end of the text.
  bool next(WordBlock& block);
  /// Reads the rest of an archive, so that all its checksums are checked.
  void check_rest();

  const std::string& path() const { return path_; }
  /// Bytes read from the file itself.
  int64_t consumed() const { return stream_->consumed(); }
  /// Whether the text's last line ended with '\n'. Valid at the end of the text.
  bool ended_line() const { return ended_line_; }

 private:
  bool find_member(const std::string& member);
  void skip(int64_t bytes);

  std::string path_;   // of stream_
  std::string label_;  // for messages
  std::unique_ptr<InputStream> stream_;
  std::vector<uint8_t> buffer_;
  std::string rest_;  // read, but not returned yet
  int64_t offset_ = 0;
  int64_t left_ = 0;        // bytes of the text that have not been read; the stream may have fewer
  bool at_end_ = true;      // of the text
  bool exhausted_ = false;  // all members of the archive have been passed
  bool line_open_ = false;  // the returned text ends within a line
  bool ended_line_ = true;
};

/// Calls work(worker, block) for all blocks of the reader's text, in `workers` numbered threads at
/// a time, and done(result) for each result in the text's order.
template <class Work, class Done>
void for_each_block(WordReader& reader, size_t workers, Work work, Done done) {
  const auto read_some = [&] {
    std::vector<WordBlock> blocks;
    WordBlock block;
    while (blocks.size() < workers && reader.next(block)) blocks.push_back(std::move(block));
    return blocks;
  };
  std::vector<WordBlock> now = read_some();
  while (!now.empty()) {
    std::vector<std::future<decltype(work(size_t{0}, now.front()))>> results;  // waits on leaving
    for (size_t i = 0; i < now.size(); ++i) {
      results.push_back(std::async(std::launch::async, [&, i] { return work(i, now[i]); }));
    }
    std::vector<WordBlock> next = read_some();  // while the workers run
    for (auto& result : results) done(result.get());
    now = std::move(next);
  }
}

}  // namespace ssa
