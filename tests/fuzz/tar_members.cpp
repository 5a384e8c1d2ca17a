// Lists the members of a tar archive of any bytes.

#include "data/tar_members.h"

#include "ssa/core/error.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string path = folder() / "input.tar";
  testing::write_bytes(path, text_of(data, size));
  const MappedFile file(path);
  accepted<DataError>([&] {
    for_each_member(file, 0, file.size(), "input.tar", [&](const TarMember& member) {
      require(member.offset >= 0 && member.size >= 0 && member.offset <= file.size() &&
                  member.size <= file.size() - member.offset,
              "a member lies in its archive");
    });
  });
  return 0;
}
