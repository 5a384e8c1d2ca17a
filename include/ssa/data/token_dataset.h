#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ssa/data/dataset_info.h"
#include "ssa/data/mapped_file.h"
#include "ssa/data/vocabulary.h"

namespace ssa {

/// The result of one pass over the stored bytes of all tokens.
struct ByteScan {
  int64_t distinct_bytes = 0;
  std::string checksum;  ///< XXH3-64, 16 hexadecimal digits
};

/// A text as tokens (bytes, words or ids) in three splits. Copies share the mapping and the
/// vocabulary.
class TokenDataset {
 public:
  /// Opens a prepared folder, or any plain file as bytes (split 90/5/5). If a relative path does
  /// not exist, looks for its last components under $SSA_DATA_DIR: for data/enwik8 at
  /// $SSA_DATA_DIR/data/enwik8, then at $SSA_DATA_DIR/enwik8.
  ///
  /// Throws DataError if there is nothing, if size or header of the token file do not match
  /// dataset.json, if the vocabulary is damaged, or if there is only a packed file (the message
  /// gives the `ssa-data prepare` command).
  static TokenDataset open(const std::string& path);

  const DatasetInfo& info() const { return info_; }
  const Vocabulary& vocabulary() const { return *vocabulary_; }
  /// The file that holds the tokens.
  const std::string& path() const { return file_->path(); }
  /// Tokens in a split.
  int64_t split_size(Split split) const { return range(split).size(); }
  /// Copies tokens offset … offset+out.size()-1 of a split. Throws DataError if the file has shrunk
  /// since it was opened, or holds a token that the vocabulary has not; ShapeError outside the
  /// split. Thread safe.
  void read(Split split, int64_t offset, std::span<int32_t> out) const;
  /// Whether results on these splits compare with published ones. If not, reports must say so.
  bool official_split() const { return info_.official_split(); }
  /// Throws DataError if the file has shrunk since it was opened.
  void check_size() const { file_->check_size(); }

 private:
  friend ByteScan scan(const TokenDataset& dataset);

  TokenDataset(std::shared_ptr<const MappedFile> file, DatasetInfo info,
               std::shared_ptr<const Vocabulary> vocabulary);
  static TokenDataset open_plain(const std::string& path);
  const TokenRange& range(Split split) const { return info_.splits[static_cast<size_t>(split)]; }
  void read_tokens(int64_t token, std::span<int32_t> out) const;

  std::shared_ptr<const MappedFile> file_;
  DatasetInfo info_;
  std::shared_ptr<const Vocabulary> vocabulary_;
};

/// Reads all tokens.
ByteScan scan(const TokenDataset& dataset);
/// Throws DataError if the tokens do not match the checksum in dataset.json. A plain file has no
/// checksum and passes.
void verify(const TokenDataset& dataset);

}  // namespace ssa
