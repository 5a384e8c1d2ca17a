#pragma once

#include <string>

#include "ssa/data/vocabulary.h"

namespace ssa {

/// The text of vocabulary.json: how many ids there are, the start token, and the texts of the ids
/// where they are known, escaped as id_texts_from_lines() reads them.
std::string ids_to_json(const Vocabulary& vocabulary);

}  // namespace ssa
