#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "ssa/data/encoded_images.h"
#include "ssa/data/picture.h"
#include "ssa/data/prepare.h"

#include "formula_picture.h"
#include "test_files.h"

// Inputs of `ssa-data prepare imagenet`.

namespace ssa::testing {

inline std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

/// A JPEG of this size; equal sizes give equal files.
inline std::string jpeg_of(int64_t height, int64_t width) {
  return text_of(encode_jpeg(formula_picture(height, width), 90));
}

/// Two classes with three and two pictures to train on, and one each to validate.
inline Members small_tree() {
  return {{"train/n01/b.JPEG", jpeg_of(20, 30)}, {"train/n01/a.JPEG", jpeg_of(21, 30)},
          {"train/n01/c.jpg", jpeg_of(22, 30)},  {"train/n02/d.JPEG", jpeg_of(23, 30)},
          {"train/n02/e.jpeg", jpeg_of(24, 30)}, {"val/n01/v.JPEG", jpeg_of(25, 30)},
          {"val/n02/w.JPEG", jpeg_of(26, 30)}};
}

inline void write_tree(const std::string& root, const Members& files) {
  for (const auto& [name, content] : files) {
    const std::string path = root + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_bytes(path, content);
  }
}

inline PrepareOptions imagenet(const std::vector<std::string>& inputs, const std::string& output) {
  PrepareOptions options = options_for("imagenet", inputs, output);
  options.encoded.workers = 2;
  return options;
}

inline std::string imagenet_error(ExitCode code, const PrepareOptions& options) {
  return error_of(code, [&] { prepare_encoded_images(options); });
}

/// "name label" of each image.
inline std::vector<std::string> listing(const std::string& folder) {
  const EncodedImages images = EncodedImages::open(folder);
  std::vector<std::string> lines;
  for (int64_t i = 0; i < images.info().images(); ++i) {
    lines.push_back(images.name_of(i) + " " + std::to_string(images.label(i)));
  }
  return lines;
}

/// The bytes of all files of a prepared folder, by name.
inline Members folder_bytes(const std::string& folder) {
  Members files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.emplace_back(entry.path().filename().string(), read_bytes(entry.path().string()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace ssa::testing
