#include "id_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 16;
static_assert(std::endian::native == std::endian::little, "ids are read as they are");

/// llm.c's header: 256 numbers of 4 bytes, of which the first three are these.
constexpr size_t kHeaderBytes = 1024;
struct HeaderStart {
  int32_t magic, version, tokens;
};
struct KnownHeader {
  IdHeader header;
  int32_t magic, version;
  int64_t width;
};
constexpr std::array kKnownHeaders = {KnownHeader{IdHeader::gpt2, 20240520, 1, 2},
                                      KnownHeader{IdHeader::llama3, 20240801, 7, 4}};

std::string_view dtype(int64_t width) { return width == 2 ? "u16" : "u32"; }

}  // namespace

IdReader::IdReader(const std::string& path, int64_t width)
    : path_(path), stream_(path), buffer_(kPieceBytes) {
  if (!stream_.next_member()) throw DataError("archive '{}' holds no file", path_);
  if (stream_.is_archive()) {
    throw DataError("'{}' is an archive: unpack it, and give the files of ids", path_);
  }
  read_header(width);
}

void IdReader::read_header(int64_t given_width) {
  while (filled_ < kHeaderBytes) {
    const size_t got = stream_.read(std::span(buffer_).subspan(filled_, kHeaderBytes - filled_));
    if (got == 0) break;
    filled_ += got;
  }
  HeaderStart start{};
  if (filled_ >= sizeof(start)) std::memcpy(&start, buffer_.data(), sizeof(start));
  const auto known = std::ranges::find(kKnownHeaders, start.magic, &KnownHeader::magic);
  width_ = given_width;
  if (known == kKnownHeaders.end()) {
    if (width_ > 0) return;
    throw ConfigError(
        "'{}' has no header of llm.c: say with --dtype how wide its ids are, u16 (nanoGPT) or u32",
        path_);
  }
  if (filled_ < kHeaderBytes || start.version != known->version || start.tokens < 0) {
    throw DataError(
        "'{}' begins as a header of llm.c does, with {}, but goes on with version {} and {} "
        "tokens in {} bytes; version {} and {} bytes are expected",
        path_, start.magic, start.version, start.tokens, filled_, known->version, kHeaderBytes);
  }
  if (given_width > 0 && given_width != known->width) {
    throw ConfigError("--dtype {}: the header of '{}' says {}. Leave --dtype out",
                      dtype(given_width), path_, dtype(known->width));
  }
  header_ = known->header;
  width_ = known->width;
  stated_ = start.tokens;
  filled_ = 0;
  end_ = kHeaderBytes;
}

bool IdReader::next(std::vector<uint32_t>& ids) {
  while (filled_ < buffer_.size()) {
    const size_t got = stream_.read(std::span(buffer_).subspan(filled_));
    if (got == 0) break;
    filled_ += got;
  }
  const auto width = static_cast<size_t>(width_);
  ids.resize(filled_ / width);
  offset_ = end_;
  if (ids.empty()) {
    check_end();
    return false;
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = 0;
    std::memcpy(&ids[i], buffer_.data() + i * width, width);
  }
  const size_t used = ids.size() * width;
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(used),
            buffer_.begin() + static_cast<std::ptrdiff_t>(filled_), buffer_.begin());
  filled_ -= used;
  end_ += static_cast<int64_t>(used);
  return true;
}

void IdReader::check_end() const {
  if (stated_ >= 0 && end_ != static_cast<int64_t>(kHeaderBytes) + stated_ * width_) {
    throw DataError(
        "'{}' is truncated or damaged: its header states {} ids of {} bytes, so that {} bytes are "
        "expected, but it has {}",
        path_, stated_, width_, static_cast<int64_t>(kHeaderBytes) + stated_ * width_,
        end_ + static_cast<int64_t>(filled_));
  }
  if (filled_ > 0) {
    throw DataError("'{}' ends within an id: its {} bytes are no multiple of {} (--dtype {})",
                    path_, end_ + static_cast<int64_t>(filled_), width_, dtype(width_));
  }
}

}  // namespace ssa
