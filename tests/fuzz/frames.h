#pragma once

#include <nlohmann/json.hpp>

#include "fuzz/support.h"

namespace ssa::fuzz {

/// A document of JSON as CBOR; nothing if it is none.
inline std::optional<std::string> cbor_of(const std::string& json) {
  const auto document = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return std::nullopt;
  std::string cbor;
  nlohmann::json::to_cbor(document, cbor);
  return cbor;
}

/// What a peer sends, as a fuzzer changes it well: input that begins with '{' is a message in JSON
/// per line, each of which becomes a frame; any other input is the bytes themselves.
inline std::string sent_by_peer(const std::string& input) {
  if (!input.starts_with('{')) return input;
  std::string frames;
  for (const std::string& line : lines_of(input)) {
    const std::string message = cbor_of(line).value_or(line);
    for (size_t i = 0; i < 4; ++i) frames += static_cast<char>(message.size() >> (8 * i));
    frames += message;
  }
  return frames;
}

}  // namespace ssa::fuzz
