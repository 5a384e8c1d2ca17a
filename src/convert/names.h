#pragma once

// What the layouts of other programs are made of.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "ssa/convert/layout.h"

namespace ssa {

/// Parts of names: this engine's, and another program's.
using Renames = std::vector<std::pair<std::string_view, std::string_view>>;

/// The name with the first occurrence of each part replaced, in the order of the table.
std::string renamed(std::string name, const Renames& table);

/// The number in a name between `before` and the next dot. Throws ShapeError if there is none.
int64_t number_after(const std::string& name, std::string_view before);

/// Rows first … first+count-1.
std::vector<int64_t> rows_from(int64_t first, int64_t count);

Layout timm_swin_layout();
Layout egt_pytorch_layout();
Layout fairseq_lm_layout();

}  // namespace ssa
