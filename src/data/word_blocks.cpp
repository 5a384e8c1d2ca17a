#include "word_blocks.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kBlockBytes = size_t{1} << 21;
constexpr size_t kReadBytes = size_t{1} << 17;

}  // namespace

WordReader::WordReader() : buffer_(kReadBytes) {}

bool WordReader::find_member(const std::string& member) {
  while (stream_->next_member()) {
    if (member.empty() || stream_->member() == member) return true;
  }
  exhausted_ = true;
  return false;
}

void WordReader::skip(int64_t bytes) {
  while (bytes > 0) {
    const auto piece = std::min(buffer_.size(), static_cast<size_t>(bytes));
    const size_t got = stream_->read(std::span(buffer_).first(piece));
    if (got == 0) throw DataError("'{}' is gone: the file changed while it was read", label_);
    bytes -= static_cast<int64_t>(got);
  }
}

void WordReader::open(const TextSource& source) {
  label_ = source.label();
  rest_.clear();
  offset_ = source.begin;
  left_ = source.end < 0 ? std::numeric_limits<int64_t>::max() : source.end - source.begin;
  at_end_ = false;
  line_open_ = false;
  ended_line_ = true;
  const bool goes_on = stream_ && !exhausted_ && path_ == source.path && !source.member.empty();
  if (goes_on && find_member(source.member)) return;
  stream_ = std::make_unique<InputStream>(source.path);
  exhausted_ = false;
  path_ = source.path;
  if (!find_member(source.member)) {
    throw DataError("'{}' is gone: the file changed while it was read", label_);
  }
  skip(source.begin);
}

void WordReader::check_rest() {
  while (!exhausted_ && stream_->next_member()) continue;
  exhausted_ = true;
}

bool WordReader::next(WordBlock& block) {
  while (!at_end_ && rest_.size() < kBlockBytes) {
    const auto piece = static_cast<size_t>(std::min<int64_t>(left_, std::ssize(buffer_)));
    const size_t got = stream_->read(std::span(buffer_).first(piece));
    rest_.append(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(got));
    left_ -= static_cast<int64_t>(got);
    at_end_ = got == 0;
  }
  block.offset = offset_;
  if (rest_.empty()) {
    ended_line_ = ended_line_ && !line_open_;
    block.text = "\n";
    return std::exchange(line_open_, false);
  }
  size_t cut = rest_.size();
  if (!at_end_) {
    // Cuts at single-byte characters only.
    const size_t space = rest_.find_last_of(" \n\t");
    if (space == std::string::npos) {
      throw DataError("'{}' is not a text of words: after byte {} there is no space for {} bytes",
                      label_, offset_, rest_.size());
    }
    cut = space + 1;
  }
  block.text.assign(rest_, 0, cut);
  rest_.erase(0, cut);
  offset_ += static_cast<int64_t>(cut);
  line_open_ = block.text.back() != '\n';
  return true;
}

}  // namespace ssa
