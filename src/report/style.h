#pragma once

#include <string_view>

namespace ssa::report {

/// The style sheet of the page. It follows the system's light or dark mode, and fits phones.
extern const std::string_view kStyle;

}  // namespace ssa::report
