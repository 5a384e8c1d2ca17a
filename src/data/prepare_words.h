#pragma once

#include <array>
#include <string_view>

#include "ssa/data/prepare.h"

#include "folder_writer.h"
#include "word_inputs.h"

namespace ssa {

/// Whether the data set of this name is made of words.
bool is_word_dataset(std::string_view name);

/// Makes tokens.bin and vocab.txt of a word-level data set. The train split is read twice, to count
/// its words and to write their tokens, the others once; blocks of the text are worked on side by
/// side. The result does not depend on how many.
///
/// Words are what stands between whitespace; `</s>` ends each line. The vocabulary is the train
/// split's words by falling frequency, equally frequent ones in the order in which they first
/// occur. Words of the other splits that it lacks become `<unk>`, and are counted.
DatasetInfo prepare_words(const PrepareOptions& options, const std::array<SplitSource, 3>& sources,
                          FolderWriter& writer);

}  // namespace ssa
