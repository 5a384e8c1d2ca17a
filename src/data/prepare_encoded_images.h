#pragma once

#include <string>
#include <vector>

#include "ssa/data/encoded_images.h"
#include "ssa/data/prepare.h"

#include "folder_writer.h"

namespace ssa {

/// Throws ConfigError for options of `encoded` that make no sense.
void check_encoded_options(const PrepareOptions& options);

/// What dataset.json gives as sources: the names of the inputs.
std::vector<std::string> encoded_image_sources(const PrepareOptions& options);

/// Shards, index, names and classes of all pictures of the inputs. Each picture is decoded once, by
/// several threads, to find those that are damaged. The folder's bytes depend neither on the number
/// of threads nor on how often the call was stopped and continued.
EncodedImagesInfo write_encoded_images(const PrepareOptions& options, FolderWriter& writer);

}  // namespace ssa
