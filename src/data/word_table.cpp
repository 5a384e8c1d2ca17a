#include "ssa/data/word_table.h"

#include <limits>

#include <xxhash.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kFirstSlots = 1024;
constexpr int32_t kFree = -1;

uint64_t hash_of(std::string_view word) { return XXH3_64bits(word.data(), word.size()); }

}  // namespace

size_t WordTable::slot_of(std::string_view word, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    const int32_t number = slots_[slot];
    if (number == kFree) return slot;
    const Entry& entry = entries_[static_cast<size_t>(number)];
    if (entry.hash == hash && this->word(number) == word) return slot;
  }
}

int32_t WordTable::find(std::string_view word) const {
  return slots_.empty() ? kFree : slots_[slot_of(word, hash_of(word))];
}

int32_t WordTable::add(std::string_view word) {
  if (2 * entries_.size() >= slots_.size()) grow();
  const uint64_t hash = hash_of(word);
  int32_t& number = slots_[slot_of(word, hash)];
  if (number != kFree) return number;
  if (entries_.size() >= static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw DataError("there are more than 2^31 different words");
  }
  number = static_cast<int32_t>(entries_.size());
  entries_.push_back({hash, text_.size(), word.size()});
  text_ += word;
  return number;
}

std::string_view WordTable::word(int32_t number) const {
  const Entry& entry = entries_[static_cast<size_t>(number)];
  return std::string_view(text_).substr(entry.begin, entry.length);
}

void WordTable::grow() {
  slots_.assign(slots_.empty() ? kFirstSlots : 2 * slots_.size(), kFree);
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t slot = entries_[i].hash & mask;
    while (slots_[slot] != kFree) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<int32_t>(i);
  }
}

}  // namespace ssa
