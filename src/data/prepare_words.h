#pragma once

#include <array>
#include <string_view>

#include "ssa/data/prepare.h"

#include "folder_writer.h"
#include "text_source.h"

namespace ssa {

/// Whether the data set of this name is made of words.
bool is_word_dataset(std::string_view name);

/// Makes tokens.bin and vocab.txt of a word-level data set. `sources` are the texts of the splits;
/// valid and test may be none. Reads the train split twice, to count its words and to write their
/// tokens, and the other splits once. Threads work on blocks of the text. The result does not
/// depend on their number.
///
/// Whitespace separates words; `</s>` ends each line. The vocabulary is the one that
/// options.texts.vocabulary names, or has the train split's words by falling frequency, and equally
/// frequent words in the order of their first occurrence. Other words become `<unk>`, and are
/// counted.
DatasetInfo prepare_words(const PrepareOptions& options, const std::array<TextSource, 3>& sources,
                          FolderWriter& writer);

}  // namespace ssa
