#pragma once

#include <string>
#include <vector>

#include "ssa/data/image_dataset.h"
#include "ssa/data/prepare.h"

#include "folder_writer.h"

namespace ssa {

/// Pixels and labels of CIFAR-10: of its binary version, whose rows are a label byte and 3,072
/// bytes, planes of red, green and blue, or of its Python version. Inputs are folders and archives
/// with data_batch_N(.bin) and test_batch(.bin), or such files, of which those with "test" in their
/// name are the test split.
ImageDatasetInfo prepare_cifar10(const PrepareOptions& options, FolderWriter& writer);

/// Pixels and labels of a folder SPLIT/CLASS/FILE of JPEGs and PNGs of one size; splits are train,
/// valid or val, and test, of which only train must be there.
ImageDatasetInfo prepare_image_tree(const PrepareOptions& options, FolderWriter& writer);
/// What its dataset.json gives as sources: the folder's name. Throws ConfigError if the input is
/// not one folder.
std::vector<std::string> image_tree_sources(const PrepareOptions& options);

}  // namespace ssa
