#pragma once

#include <string_view>

namespace ssa::report {

/// The style sheet of the page. It follows the system's light or dark mode, and fits phones.
std::string_view style_sheet();

}  // namespace ssa::report
