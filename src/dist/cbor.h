#pragma once

#include <concepts>
#include <optional>
#include <stdexcept>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ssa/core/whole_number.h"

namespace ssa::dist {

/// Reads a document that another process has written with to_cbor(). Throws std::runtime_error for
/// anything else.
nlohmann::json read_cbor(std::string_view bytes);

/// A whole number of a message. Throws std::runtime_error for anything else, and for a number that
/// T cannot hold.
template <std::signed_integral T>
T whole_number(const nlohmann::json& value) {
  if (!value.is_number_integer()) throw std::runtime_error("a number that is not whole");
  const std::optional<T> number = as_whole_number<T>(value);
  if (!number) throw std::runtime_error("a number that is too large");
  return *number;
}

}  // namespace ssa::dist
