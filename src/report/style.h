#pragma once

#include <string_view>

namespace ssa::report {

/// The style sheet of the page: light or dark as the reader's system is, down to phone width.
extern const std::string_view kStyle;

}  // namespace ssa::report
