#pragma once

#include <cstdint>
#include <string>

namespace ssa {

/// A text that a data set is made of.
struct TextSource {
  std::string path;
  std::string member = {};  ///< the file of an archive that is meant; empty: all of them
  int64_t begin = 0;        ///< of a plain file: its first byte
  int64_t end = -1;         ///< the byte behind the last one; -1: the file's end
  std::string title = {};   ///< for messages; empty: path and member

  bool is_none() const { return path.empty(); }
  /// For messages.
  std::string label() const {
    if (!title.empty()) return title;
    return member.empty() ? path : path + " (" + member + ")";
  }
};

}  // namespace ssa
