#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "ssa/data/dataset_info.h"

namespace ssa {

// What the paths of pictures tell.

/// Whether the file's name ends as those of JPEGs and PNGs do.
bool is_picture_name(std::string_view file);
/// The file's name without that ending.
std::string_view without_ending(std::string_view file);
/// Whether a part of the path is hidden: .DS_Store, ._picture.JPEG, __MACOSX/ and the like.
bool is_hidden(std::string_view path);
/// Whether the text has decimal digits only.
bool is_number(std::string_view text);

/// The path without "./" and double slashes.
std::string plain_path(std::string_view path);
/// What a file of WebDataset belongs to: its path without all endings.
std::string key_of(const std::string& path);

/// The split that a folder's name stands for: "train", "val", "valid", "validation" or "test".
std::optional<Split> split_of_folder(std::string_view name);
/// The split that a name tells by one of its words: "ILSVRC2012_img_val.tar", "set-train-07.tar".
std::optional<Split> split_of_name(std::string_view name);
/// Where the path of a file goes on behind the first folder of a split, whose split is returned in
/// `split`; 0: there is none.
size_t behind_split(std::string_view path, std::optional<Split>& split);

}  // namespace ssa
