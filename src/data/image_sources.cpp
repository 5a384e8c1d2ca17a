#include "image_sources.h"

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "encoded_image_files.h"

namespace ssa {

std::string ImageSources::display(const ImageSource& image) const {
  return printable(fmt::format("{}/{}", containers[image.container].path, image.path));
}

std::vector<uint8_t> ImageSources::read(const ImageSource& image) const {
  std::vector<uint8_t> bytes(static_cast<size_t>(image.size));
  if (bytes.empty()) return bytes;
  const ImageContainer& container = containers[image.container];
  if (container.tar) {
    container.tar->read(image.offset, bytes);
    return bytes;
  }
  const MappedFile file(container.path + "/" + image.path);
  if (file.size() != image.size) {
    throw DataError("'{}' has changed while it was prepared: it had {} bytes, and has {} now",
                    display(image), image.size, file.size());
  }
  file.read(0, bytes);
  return bytes;
}

}  // namespace ssa
