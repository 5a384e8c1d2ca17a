#include "encoded_image_writer.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "ssa/core/error.h"

#include "dataset_files.h"
#include "list_folder.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kSyncsPerShard = 16;

[[noreturn]] void fail(std::string_view what, const fs::path& path) {
  throw DataError("cannot {} '{}': {}", what, path.string(), std::strerror(errno));
}

/// The whole records of a journal. A kill may have torn the last one.
std::vector<JournalRecord> read_journal(const fs::path& path) {
  if (!is_there(path)) return {};
  const std::string text = read_text(path);
  std::vector<JournalRecord> records(text.size() / sizeof(JournalRecord));
  std::memcpy(records.data(), text.data(), records.size() * sizeof(JournalRecord));
  return records;
}

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  return error ? -1 : size;
}

/// How many of the records can be taken over: those of the same sources whose files are there.
size_t usable_records(std::span<const JournalRecord> records, std::span<const uint64_t> sources,
                      bool skips_bad, const fs::path& folder) {
  int64_t shard = -1, shard_size = 0;
  uint64_t end = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const IndexEntry& entry = records[i].entry;
    if (i >= sources.size() || records[i].source != sources[i]) return i;
    if (entry.size == 0) {
      if (!skips_bad) return i;
      continue;
    }
    if (entry.shard != shard) {
      if (entry.shard != shard + 1) return i;
      shard = entry.shard;
      shard_size = size_of(folder / shard_name(shard));
      end = 0;
    }
    if (entry.offset != end || static_cast<int64_t>(entry.end()) > shard_size) return i;
    end = entry.end();
  }
  return records.size();
}

}  // namespace

EncodedImageWriter::EncodedImageWriter(FolderWriter& writer, int64_t shard_bytes)
    : writer_(writer), shard_bytes_(shard_bytes) {}

EncodedImageWriter::~EncodedImageWriter() {
  if (journal_ >= 0) ::close(journal_);
}

int64_t EncodedImageWriter::resume(std::span<const uint64_t> sources, bool skips_bad) {
  const fs::path journal = writer_.partial() / kJournalFile;
  records_ = read_journal(journal);
  records_.resize(usable_records(records_, sources, skips_bad, writer_.partial()));
  journalled_ = records_.size();
  for (const JournalRecord& record : records_) {
    bytes_ += record.entry.size;
    if (record.entry.size == 0) continue;
    shard_ = record.entry.shard;
    offset_ = static_cast<int64_t>(record.entry.end());
  }
  std::error_code error;
  for (const fs::path& file : list_folder(writer_.partial(), error)) {
    const std::string name = file.filename().string();
    if (name != kJournalFile && (shard_ < 0 || name > shard_name(shard_))) {
      writer_.remove_file(name);
    }
  }
  journal_ = ::open(journal.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  const auto kept = static_cast<off_t>(journalled_ * sizeof(JournalRecord));
  if (journal_ < 0 || ::ftruncate(journal_, kept) != 0 ||
      ::lseek(journal_, kept, SEEK_SET) != kept) {
    fail("continue", journal);
  }
  if (shard_ >= 0) writer_.continue_file(shard_name(shard_), offset_);
  return std::ssize(records_);
}

void EncodedImageWriter::start_shard(int64_t shard) {
  if (shard >= kMostShards) {
    throw DataError("more than {} shards of {} bytes are too many", kMostShards, shard_bytes_);
  }
  sync();
  writer_.start_file(shard_name(shard));
  shard_ = shard;
  offset_ = 0;
}

void EncodedImageWriter::add(std::span<const uint8_t> file, IndexEntry entry, uint64_t source) {
  const auto size = static_cast<int64_t>(file.size());
  if (shard_ < 0 || (offset_ > 0 && offset_ + size > shard_bytes_)) start_shard(shard_ + 1);
  writer_.write(file);
  entry.shard = static_cast<uint16_t>(shard_);
  entry.offset = static_cast<uint64_t>(offset_);
  entry.size = static_cast<uint32_t>(size);
  offset_ += size;
  bytes_ += size;
  unsynced_ += size;
  records_.push_back({entry, source});
  if (unsynced_ >= shard_bytes_ / kSyncsPerShard) sync();
}

void EncodedImageWriter::skip(uint64_t source) { records_.push_back({{}, source}); }

void EncodedImageWriter::sync() {
  if (journalled_ == records_.size()) return;
  if (shard_ >= 0) writer_.sync();
  const auto fresh = std::span(records_).subspan(journalled_);
  const auto* bytes = reinterpret_cast<const char*>(fresh.data());
  for (size_t done = 0; done < fresh.size_bytes();) {
    const ssize_t written = ::write(journal_, bytes + done, fresh.size_bytes() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", writer_.partial() / kJournalFile);
    done += static_cast<size_t>(written);
  }
  if (::fsync(journal_) != 0) fail("sync", writer_.partial() / kJournalFile);
  journalled_ = records_.size();
  unsynced_ = 0;
}

}  // namespace ssa
