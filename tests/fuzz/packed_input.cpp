// Reads any bytes as a file that may be packed: zip, tar, gz, xz, zst, bz2.

#include <array>

#include "ssa/core/error.h"

#include "data/input_stream.h"
#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

/// A small packed file may unpack to any size; what reads it streams.
constexpr size_t kMostUnpacked = size_t{1} << 18;

/// The bytes of all members.
size_t read_all(const std::string& path) {
  InputStream stream(path);
  std::array<uint8_t, 65536> piece;
  size_t total = 0;
  while (stream.next_member()) {
    require(!stream.member().empty() || stream.is_archive(), "a plain file is its own member");
    while (const size_t got = stream.read(piece)) {
      total += got;
      if (total > kMostUnpacked) return total;
    }
  }
  require(stream.consumed() >= 0, "the place in the file is known");
  return total;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = folder() / "input";
  testing::write_bytes(path, text_of(data, size));
  const bool packed = packed_format(path).has_value();
  const auto total = parsed<DataError>([&] { return read_all(path); });
  require(packed || !total || *total == size, "a plain file is read as it is");
  return 0;
}
