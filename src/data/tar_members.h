#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "ssa/data/mapped_file.h"

namespace ssa {

/// One member of a tar archive.
struct TarMember {
  enum class Kind { file, folder, link };
  std::string path;    ///< as the archive has it; bytes of any kind
  int64_t offset = 0;  ///< of its content in the archive's file
  int64_t size = 0;    ///< of its content in bytes
  Kind kind = Kind::file;
};

/// Lists the members of a tar archive without reading their contents, so that these can be read in
/// place. The archive is the `size` bytes at `offset` of `file`: the whole file, or an archive in
/// another one. `name` stands for it in messages. Knows ustar, pax and GNU's long names and sizes.
///
/// Throws DataError with the offset if the archive is damaged, ends early or has sparse files.
void for_each_member(const MappedFile& file, int64_t offset, int64_t size, const std::string& name,
                     const std::function<void(TarMember)>& visit);

}  // namespace ssa
