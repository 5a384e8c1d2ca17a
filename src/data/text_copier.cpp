#include "text_copier.h"

#include "column_reader.h"
#include "input_stream.h"
#include "prepare_inputs.h"

namespace ssa {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 16;

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

TextCopier::TextCopier(const PrepareOptions& options, const std::vector<TextSource>& sources,
                       FolderWriter& writer)
    : options_(options),
      report_(options, size_of_files(sources)),
      writer_(writer),
      buffer_(kPieceBytes) {}

void TextCopier::copy(const TextSource& source) {
  const int64_t bytes_before = tally_.bytes();
  if (options_.texts.column.empty()) {
    copy_bytes(source);
  } else {
    copy_column(source);
  }
  report_.at(read_before_, tally_.bytes());
  if (tally_.bytes() == bytes_before) throw DataError("input '{}' is empty", source.label());
}

void TextCopier::copy_bytes(const TextSource& source) {
  InputStream stream(source.path);
  while (stream.next_member()) {
    if (!source.member.empty() && stream.member() != source.member) continue;
    while (const size_t got = stream.read(buffer_)) {
      write({buffer_.data(), got});
      report_.at(read_before_ + stream.consumed(), tally_.bytes());
    }
  }
  read_before_ += stream.consumed();
}

void TextCopier::copy_column(const TextSource& source) {
  const auto column = ColumnReader::open(source.path, options_.texts.column);
  std::string text, piece;
  while (column->next(text)) {
    piece += text;
    piece += '\n';
    if (piece.size() < kPieceBytes) continue;
    write(as_bytes(piece));
    piece.clear();
    report_.at(read_before_, tally_.bytes());
  }
  write(as_bytes(piece));
  read_before_ += file_size(source.path);
}

void TextCopier::write(std::span<const uint8_t> piece) {
  writer_.write(piece);
  tally_.add(piece);
}

}  // namespace ssa
