#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ssa {

/// Whether these bytes begin as a file of CIFAR-10's Python version does. No row of the binary
/// version does: its first byte is a label.
bool is_cifar_pickle(std::span<const uint8_t> bytes);

/// The rows of a file of CIFAR-10's Python version, as they are in the binary version: a byte for
/// the label and 3,072 for the pixels.
///
/// The file is a pickled dict. A pickle is a program for a stack machine, which may call any Python
/// function. This reader runs none: it knows the few instructions that these files consist of, and
/// three names, for which it builds an array of bytes itself. Throws DataError, naming `label` and
/// the byte, for anything else.
std::vector<uint8_t> rows_of_cifar_pickle(std::span<const uint8_t> bytes, const std::string& label);

}  // namespace ssa
