// Decodes any bytes as a JPEG or PNG.

#include "ssa/data/picture.h"

#include <zlib.h>

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

using Bytes = std::vector<uint8_t>;

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

/// A PNG with the right checksum in each chunk: without them libpng reads nothing else.
Bytes with_checksums(Bytes png) {
  constexpr size_t kSignature = 8, kHead = 8, kChecksum = 4;  // a chunk: length, type, data, CRC
  for (size_t at = kSignature; at + kHead + kChecksum <= png.size();) {
    const size_t length = big_endian(&png[at]);
    if (length > png.size() - at - kHead - kChecksum) break;
    const auto crc = static_cast<uint32_t>(
        crc32(crc32(0, nullptr, 0), &png[at + 4], static_cast<uInt>(length + 4)));
    const size_t end = at + kHead + length;
    for (size_t i = 0; i < kChecksum; ++i) png[end + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at = end + kChecksum;
  }
  return png;
}

void decode(const Bytes& bytes) {
  constexpr size_t kMostChecked = size_t{1} << 16;
  const auto picture = parsed<DataError>([&] { return decode_picture(bytes, "input"); });
  if (!picture) return;
  require(picture->height > 0 && picture->width > 0, "a picture has pixels");
  require(std::ssize(picture->pixels) == picture->height * picture->width * 3,
          "a picture has all its pixels");
  if (picture->pixels.size() > kMostChecked) return;
  require(decode_picture(encode_png(*picture), "copy") == *picture,
          "a picture survives a round trip");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes bytes(data, data + size);
  decode(bytes);
  if (size > 4 && data[0] == 0x89) decode(with_checksums(bytes));
  return 0;
}
