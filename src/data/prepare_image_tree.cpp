#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/picture.h"

#include "dataset_files.h"
#include "image_writer.h"
#include "list_folder.h"
#include "prepare_images.h"
#include "prepare_inputs.h"
#include "prepare_report.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

/// One file of the tree.
struct TreeImage {
  fs::path path;
  std::string class_name;
};

std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found = list_folder(folder, error);
  if (error) throw DataError("cannot list '{}': {}", folder.string(), error.message());
  std::erase_if(found, [](const fs::path& path) {
    return path.filename().string().starts_with('.');  // .DS_Store and the like
  });
  return found;
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<fs::path> folders(const fs::path& folder) {
  std::vector<fs::path> found = entries(folder);
  std::erase_if(found, [](const fs::path& path) { return !is_folder(path); });
  return found;
}

/// Folder of a split; empty if there is none.
fs::path split_folder(const fs::path& root, Split split) {
  if (is_folder(root / name(split))) return root / name(split);
  if (split == Split::valid && is_folder(root / "val")) return root / "val";
  return {};
}

/// Files of a split by class, in the order of their names.
std::vector<TreeImage> list_split(const fs::path& folder) {
  std::vector<TreeImage> images;
  if (folder.empty()) return images;
  for (const fs::path& of_class : folders(folder)) {
    for (const fs::path& file : entries(of_class)) {
      if (!is_folder(file)) images.push_back({file, of_class.filename().string()});
    }
  }
  return images;
}

class TreeReader {
 public:
  TreeReader(const PrepareOptions& options, FolderWriter& writer)
      : options_(options), report_(options, 0), images_(writer) {}

  ImageDatasetInfo read(const fs::path& root) {
    std::array<std::vector<TreeImage>, 3> splits;
    std::set<std::string> classes;
    for (const Split split : kSplits) {
      auto& images = splits[static_cast<size_t>(split)];
      images = list_split(split_folder(root, split));
      for (const TreeImage& image : images) classes.insert(image.class_name);
    }
    if (splits[static_cast<size_t>(Split::train)].empty()) {
      throw DataError(
          "'{}' holds no train/CLASS/FILE: give a folder with train/, and where there are such "
          "valid/ and test/, each with a folder of pictures for every class",
          root.string());
    }
    info_.classes.assign(classes.begin(), classes.end());
    for (const Split split : kSplits) {
      const int64_t begin = images_.images();
      for (const TreeImage& image : splits[static_cast<size_t>(split)]) add(image);
      info_.splits[static_cast<size_t>(split)] = {begin, images_.images()};
    }
    info_.checksum = images_.finish();
    return std::move(info_);
  }

 private:
  void add(const TreeImage& image) {
    Picture picture;
    try {
      const std::string bytes = read_text(image.path);
      picture = decode_picture({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                               image.path.string());
    } catch (const DataError& error) {
      if (!options_.skip_bad_images) {
        throw DataError("{}. Mend or remove it, or leave such files out with --on-bad-image skip",
                        error.what());
      }
      ++info_.skipped;
      if (options_.note) options_.note(fmt::format("left out: {}", error.what()));
      return;
    }
    check_size(image.path, picture);
    const auto label = std::ranges::lower_bound(info_.classes, image.class_name);
    images_.add(picture.pixels, static_cast<int32_t>(label - info_.classes.begin()));
    report_.at(0, images_.bytes());
  }

  void check_size(const fs::path& path, const Picture& picture) {
    if (first_.empty()) {
      first_ = path;
      info_.height = picture.height;
      info_.width = picture.width;
    }
    if (picture.height == info_.height && picture.width == info_.width) return;
    throw DataError(
        "pictures must have one size: '{}' has {} x {} pixels, '{}' has {} x {}. Resize them first",
        first_.string(), info_.width, info_.height, path.string(), picture.width, picture.height);
  }

  const PrepareOptions& options_;
  PrepareReport report_;
  ImageWriter images_;
  ImageDatasetInfo info_;
  fs::path first_;  // the picture that all others must have the size of
};

}  // namespace

std::vector<std::string> image_tree_sources(const PrepareOptions& options) {
  if (options.inputs.size() != 1 || !is_folder(options.inputs.front())) {
    throw ConfigError("images are made from one folder with train/CLASS/FILE; give it as --input");
  }
  // "pictures/" and "." have names, too.
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(options.inputs.front(), error);
  if (error) throw DataError("cannot find '{}': {}", options.inputs.front(), error.message());
  return {folder.filename().string()};
}

ImageDatasetInfo prepare_image_tree(const PrepareOptions& options, FolderWriter& writer) {
  const std::vector<std::string> sources = image_tree_sources(options);
  refuse_prepared(options.inputs.front());
  ImageDatasetInfo info =
      TreeReader(options, writer).read(fs::path(options.inputs.front()).lexically_normal());
  info.sources = sources;
  return info;
}

}  // namespace ssa
