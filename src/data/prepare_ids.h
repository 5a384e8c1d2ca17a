#pragma once

#include "ssa/data/prepare.h"

#include "folder_writer.h"
#include "text_inputs.h"

namespace ssa {

/// Makes tokens.bin and vocabulary.json of ids that another program's tokenizer gave, in files of
/// little-endian numbers: as they are (nanoGPT), or behind llm.c's header of 1024 bytes. Throws
/// DataError with file and offset for an id beyond the vocabulary, and for a file that has another
/// size than its header says.
DatasetInfo prepare_ids(const PrepareOptions& options, const TextInputs& inputs,
                        FolderWriter& writer);

}  // namespace ssa
