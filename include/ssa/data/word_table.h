#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

/// Numbers words 0, 1, 2, … in the order of add(). A hash table with open addressing and all text
/// in one string: a look-up costs about one cache miss, while a std::unordered_map of strings costs
/// several.
class WordTable {
 public:
  /// Number of a word; -1 if it has not been added. Thread safe beside other calls of find().
  int32_t find(std::string_view word) const;
  /// Number of a word, added if it is new.
  int32_t add(std::string_view word);
  /// The word of a number below size(); valid until the next add().
  std::string_view word(int32_t number) const;
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

 private:
  struct Entry {
    uint64_t hash;
    size_t begin;  // in text_
    size_t length;
  };
  /// The word's index in slots_, or the free slot for it.
  size_t slot_of(std::string_view word, uint64_t hash) const;
  void grow();

  std::vector<int32_t> slots_;  // numbers of words, -1: free. A power of two of them
  std::vector<Entry> entries_;
  std::string text_;
};

}  // namespace ssa
