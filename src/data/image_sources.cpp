#include "image_sources.h"

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/mapped_file.h"

#include "encoded_image_files.h"

namespace ssa {

std::string ImageSources::display(const ImageSource& image) const {
  return printable(fmt::format("{}/{}", containers[image.container].path, image.path));
}

std::vector<uint8_t> ImageSources::read(const ImageSource& image) const {
  std::vector<uint8_t> bytes(static_cast<size_t>(image.size));
  if (bytes.empty()) return bytes;
  const ImageContainer& container = containers[image.container];
  // Opened each time: a set may have more archives than a process may have open files.
  const MappedFile file(container.is_archive ? container.path : container.path + "/" + image.path);
  const bool is_whole =
      container.is_archive ? image.offset + image.size <= file.size() : image.size == file.size();
  if (!is_whole) throw DataError("'{}' has changed while it was prepared", display(image));
  file.read(image.offset, bytes);
  return bytes;
}

}  // namespace ssa
