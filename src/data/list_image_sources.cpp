#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "ssa/core/error.h"
#include "ssa/data/mapped_file.h"

#include "class_numbers.h"
#include "encoded_image_files.h"
#include "image_labels.h"
#include "image_paths.h"
#include "image_sources.h"
#include "input_stream.h"
#include "list_folder.h"
#include "prepare_inputs.h"
#include "tar_members.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr int kDeepestFolder = 16;  // below an input; symbolic links may lead around in a circle
constexpr int64_t kLongestClassName = 4096;

struct stat status_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return status;
  throw DataError("cannot read '{}': {}", printable(path), std::strerror(errno));
}

int64_t modified(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

class SourceLister {
 public:
  explicit SourceLister(const PrepareOptions& options)
      : options_(options),
        numbers_(options.encoded.classes.empty() ? std::vector<std::string>()
                                                 : read_class_list(options.encoded.classes)) {
    if (!options.encoded.val_labels.empty()) {
      labels_ = ImageLabels::read(options.encoded.val_labels);
    }
  }

  ImageSources list() {
    for (const std::string& input : options_.inputs) {
      // The headers of an archive lie all over it, so that this takes a while.
      if (options_.note) options_.note(fmt::format("finding the pictures in {}", input));
      const size_t before = result_.images.size();
      add_input(input);
      if (result_.images.size() == before) {
        throw DataError("'{}' holds no picture (.jpeg, .jpg or .png) that can be used", input);
      }
    }
    result_.classes = numbers_.classes();
    const std::vector<uint32_t> labels = numbers_.labels(result_.classes);
    for (ImageSource& image : result_.images) image.label = labels[image.label];
    sort();
    tell_choices();
    return std::move(result_);
  }

 private:
  // ---- inputs ----

  void add_input(const std::string& input) {
    if (S_ISDIR(status_of(input).st_mode)) {
      add_folder(input);
    } else {
      add_tar(input);
    }
  }

  /// Begins a container; its pictures follow.
  void open_container(ImageContainer container) {
    std::error_code error;
    const fs::path path = fs::weakly_canonical(container.path, error);
    if (error) throw DataError("cannot find '{}': {}", container.path, error.message());
    if (std::ranges::find(canonical_, path) != canonical_.end()) {
      throw ConfigError("'{}' is given twice", container.path);
    }
    canonical_.push_back(path);
    input_split_ = options_.encoded.split;
    if (!input_split_) input_split_ = split_of_name(path.filename().string());
    result_.containers.push_back(std::move(container));
  }

  void add_folder(const std::string& folder) {
    refuse_prepared(folder);
    open_container({folder, /*is_archive=*/false, 0});
    std::vector<std::string> tars;
    walk({}, kDeepestFolder, tars);
    for (const std::string& tar : tars) add_tar(tar);
  }

  /// Adds the pictures below `inside`, a path in the current container, and finds the archives
  /// directly in the container.
  void walk(const std::string& inside, int depth, std::vector<std::string>& tars) {
    const std::string root = result_.containers.back().path;
    const std::string folder = inside.empty() ? root : root + "/" + inside;
    if (depth == 0) throw DataError("'{}' lies too deep to be a class", printable(folder));
    std::error_code error;
    bool has_folders = false;
    for (const fs::path& entry : list_folder(folder, error)) {
      const std::string name = entry.filename().string();
      const std::string path = inside.empty() ? name : inside + "/" + name;
      if (is_hidden(name)) {
        ++result_.ignored;
        continue;
      }
      const struct stat status = status_of(entry.string());
      if (S_ISDIR(status.st_mode)) {
        has_folders = true;
        walk(path, depth - 1, tars);
      } else if (inside.empty() && name.ends_with(".tar")) {
        tars.push_back(entry.string());
      } else {
        add_file({.path = path, .size = status.st_size, .modified = modified(status)});
      }
    }
    if (error) throw DataError("cannot list '{}': {}", printable(folder), error.message());
    if (!has_folders && !inside.empty()) add_class_folder(inside, /*is_leaf=*/true);
  }

  void add_tar(const std::string& path) {
    if (const auto format = packed_format(path); format && format != "tar") {
      throw DataError(
          "'{}' is packed ({}), but pictures are read where they lie in a tar archive: unpack it "
          "once",
          path, *format);
    }
    open_container({path, /*is_archive=*/true, modified(status_of(path))});
    const MappedFile tar(path);
    std::vector<TarMember> members;
    bool is_webdataset = false;
    for_each_member(tar, 0, tar.size(), path, [&](TarMember member) {
      member.path = plain_path(member.path);
      is_webdataset = is_webdataset || member.path.ends_with(".cls");
      members.push_back(std::move(member));
      stop_if_asked();
    });
    if (is_webdataset) {
      add_webdataset(tar, members);
    } else {
      for (TarMember& member : members) add_member(tar, std::move(member), {});
    }
  }

  /// Adds a member of an archive, or the members of an archive in it, whose name is their class.
  void add_member(const MappedFile& tar, TarMember member, const std::string& class_folder) {
    const ImageContainer& container = result_.containers.back();
    if (!class_folder.empty()) member.path = class_folder + "/" + plain_path(member.path);
    if (member.kind == TarMember::Kind::folder) {
      if (!is_hidden(member.path)) add_class_folder(member.path, /*is_leaf=*/false);
      return;
    }
    if (member.kind == TarMember::Kind::link && is_picture_name(member.path)) {
      throw DataError(
          "'{}' holds '{}' as a link: pack it anew with `tar --dereference "
          "--hard-dereference`",
          container.path, printable(member.path));
    }
    if (class_folder.empty() && member.path.ends_with(".tar") && !is_hidden(member.path)) {
      const std::string folder = member.path.substr(0, member.path.size() - 4);
      for_each_member(tar, member.offset, member.size,
                      printable(container.path + "/" + member.path), [&](TarMember inner) {
                        add_member(tar, std::move(inner), folder);
                        stop_if_asked();
                      });
      add_class_folder(folder, /*is_leaf=*/true);
      return;
    }
    add_file({.path = std::move(member.path),
              .offset = member.offset,
              .size = member.size,
              .modified = container.modified});
  }

  /// Adds the pictures KEY.jpg of a WebDataset, with their classes from KEY.cls. Keys need not
  /// differ between the archives of a set.
  void add_webdataset(const MappedFile& tar, const std::vector<TarMember>& members) {
    const ImageContainer& container = result_.containers.back();
    std::unordered_map<std::string, std::string> classes;  // by key
    for (const TarMember& member : members) {
      if (member.path.ends_with(".cls")) classes[key_of(member.path)] = class_in(tar, member);
    }
    const std::string stem = fs::path(container.path).stem().string();
    for (const TarMember& member : members) {
      if (member.kind != TarMember::Kind::file || member.path.ends_with(".cls")) continue;
      const std::string key = key_of(member.path);
      if (is_hidden(member.path) || !is_picture_name(member.path)) {
        ++result_.ignored;
        continue;
      }
      const auto found = classes.find(key);
      if (found == classes.end()) {
        throw DataError("'{}' holds '{}', but no '{}.cls' with its class", container.path,
                        printable(member.path), printable(key));
      }
      add_image({.path = stem + "/" + member.path,
                 .split = known_split(member.path),
                 .offset = member.offset,
                 .size = member.size,
                 .modified = container.modified},
                found->second);
    }
  }

  /// The class that a file .cls states: a name, or a number from 0.
  std::string class_in(const MappedFile& tar, const TarMember& member) {
    std::string text(static_cast<size_t>(std::min(member.size, kLongestClassName)), '\0');
    tar.read(member.offset, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos || member.size > kLongestClassName) {
      throw DataError("'{}' in '{}' holds no class: expected a number or a name",
                      printable(member.path), tar.path());
    }
    text = text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
    return is_number(text) ? numbers_.name_of_number(text) : text;
  }

  // ---- files ----

  /// The split of a file that does not lie in the folder of one.
  Split known_split(const std::string& path) const {
    if (input_split_) return *input_split_;
    throw ConfigError(
        "'{}' in '{}' does not lie in a folder train/, val/ or test/, and neither does the input's "
        "name tell the split: give --split train, val or test",
        printable(path), result_.containers.back().path);
  }

  /// Adds a file at [FOLDER/…]SPLIT/CLASS/FILE or, if the split is known, [FOLDER/…]CLASS/FILE.
  /// Without a class the file has to be in the list of labels.
  void add_file(ImageSource image) {
    if (is_hidden(image.path) || !is_picture_name(image.path)) {
      ++result_.ignored;
      return;
    }
    std::optional<Split> split;
    size_t class_at = behind_split(image.path, split);
    image.split = split ? *split : known_split(image.path);
    if (!split) class_at = last_folder(image);
    const size_t class_end = image.path.find('/', class_at);
    if (class_end == std::string::npos) {
      add_flat(std::move(image), class_at);
      return;
    }
    image.file_at = static_cast<uint32_t>(class_end + 1);
    const std::string class_name = image.path.substr(class_at, class_end - class_at);
    add_image(std::move(image), class_name);
  }

  /// Where the folder that holds a file begins in its path. If a list tells the classes of val, the
  /// folder is none, and this is where the file's name begins.
  size_t last_folder(const ImageSource& image) const {
    const size_t file_at = image.path.rfind('/') + 1;  // 0 if there is no folder
    if (file_at < 2 || (labels_ && image.split == Split::valid)) return file_at;
    return image.path.rfind('/', file_at - 2) + 1;
  }

  /// Adds a file whose class no folder tells.
  void add_flat(ImageSource image, size_t file_at) {
    image.file_at = static_cast<uint32_t>(file_at);
    const std::string* class_name =
        image.split == Split::valid && labels_ ? labels_->find(image.file()) : nullptr;
    if (class_name) {
      labels_are_used_ = true;
      add_image(std::move(image), *class_name);
    } else if (image.split == Split::test) {  // ImageNet's test set has no public labels
      ++unlabelled_;
      ++result_.ignored;
    } else if (image.split == Split::valid && labels_) {
      throw DataError("'{}' has no line for '{}'", labels_->path(), printable(image.file()));
    } else {
      throw DataError(
          "'{}' does not lie in a folder of its class.{}",
          printable(result_.containers.back().path + "/" + image.path),
          image.split == Split::train
              ? ""
              : " Give --val-labels FILE with a line \"FILE CLASS\" for each picture of val, such "
                "as LOC_val_solution.csv. (The devkit's ILSVRC2012_validation_ground_truth.txt "
                "does not do: its numbers are not those of the sorted classes.)");
    }
  }

  void add_image(ImageSource image, std::string_view class_name) {
    if (class_name.find('\n') != std::string_view::npos) {
      throw DataError("the class '{}' has a line break in its name", printable(class_name));
    }
    // Messages and files of text have to show classes, and JSON holds nothing but UTF-8.
    image.label = numbers_.add_image(printable(class_name), image.split);
    image.container = static_cast<uint32_t>(result_.containers.size() - 1);
    result_.images.push_back(std::move(image));
    stop_if_asked();
  }

  /// Notes a folder that may be a class without pictures. Without the folder of a split above it,
  /// only one without folders in it (`is_leaf`) can be a class.
  void add_class_folder(const std::string& path, bool is_leaf) {
    std::optional<Split> split;
    size_t class_at = behind_split(path, split);
    if (!split && is_leaf) {
      split = input_split_;
      class_at = path.rfind('/') + 1;  // 0 if there is none
    }
    const std::string class_name = path.substr(class_at);
    if (!split || class_name.find('/') != std::string::npos || split_of_folder(class_name)) return;
    numbers_.add_folder(printable(class_name), *split);
  }

  // ---- the whole ----

  void sort() {
    std::ranges::sort(result_.images, [](const ImageSource& a, const ImageSource& b) {
      return std::tuple(a.split, a.label, a.file()) < std::tuple(b.split, b.label, b.file());
    });
    const auto same =
        std::ranges::adjacent_find(result_.images, [](const ImageSource& a, const ImageSource& b) {
          return a.split == b.split && a.label == b.label && a.file() == b.file();
        });
    if (same == result_.images.end()) return;
    throw DataError("two pictures of one class have the same name: '{}' and '{}'",
                    result_.display(*same), result_.display(same[1]));
  }

  void tell_choices() const {
    if (!options_.note) return;
    if (unlabelled_) {
      options_.note(fmt::format("left out: {} pictures of test, which have no class", unlabelled_));
    }
    if (labels_ && !labels_are_used_) {
      options_.note(
          fmt::format("'{}' (--val-labels) is not used: no picture of val lacks the folder of its "
                      "class",
                      labels_->path()));
    }
    if (result_.images.front().split != Split::train && options_.encoded.classes.empty()) {
      options_.note(
          fmt::format("there is no train split: the {} classes are numbered by their names alone. "
                      "If a model knows others as well, give its list with --classes",
                      result_.classes.size()));
    }
  }

  void stop_if_asked() const {
    if (options_.interrupted && options_.interrupted()) {
      throw Error(ExitCode::interrupted, "interrupted while the pictures were listed");
    }
  }

  const PrepareOptions& options_;
  ClassNumbers numbers_;
  std::optional<ImageLabels> labels_;
  bool labels_are_used_ = false;
  ImageSources result_;
  std::vector<fs::path> canonical_;   // of the containers
  std::optional<Split> input_split_;  // of the current container's files, if no folder says it
  int64_t unlabelled_ = 0;
};

}  // namespace

ImageSources list_image_sources(const PrepareOptions& options) {
  return SourceLister(options).list();
}

}  // namespace ssa
