#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

namespace ssa {

/// The whole number that a value of a JSON document is. Nothing for a fraction, for what is no
/// number, and for a number that T cannot hold: the library's own get() converts them. A template,
/// so that the layers above share it although this one does not link the library.
template <std::integral T, typename Json>
std::optional<T> as_whole_number(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.template get<uint64_t>())
                                               : std::in_range<T>(value.template get<int64_t>());
  return fits ? std::optional<T>(value.template get<T>()) : std::nullopt;
}

}  // namespace ssa
