#pragma once

#include <concepts>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace ssa::dist {

/// Reads a document that another process has written with to_cbor(). Throws std::runtime_error for
/// anything else.
nlohmann::json read_cbor(std::string_view bytes);

/// A whole number of a message. Throws std::runtime_error for a fraction, and for a number that T
/// cannot hold: the library would convert both.
template <std::signed_integral T>
T whole_number(const nlohmann::json& value) {
  if (!value.is_number_integer()) throw std::runtime_error("a number that is not whole");
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<uint64_t>())
                                               : std::in_range<T>(value.get<int64_t>());
  if (!fits) throw std::runtime_error("a number that is too large");
  return value.get<T>();
}

}  // namespace ssa::dist
