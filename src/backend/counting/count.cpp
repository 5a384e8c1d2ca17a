// The scope of a count: one per thread.

#include "ssa/backend/counting.h"
#include "ssa/core/counting_memory.h"

#include "backend/counting/counting_backend.h"

namespace ssa {

namespace {

thread_local CountingBackend* of_this_thread = nullptr;
thread_local int vocabulary_parts = 0;

}  // namespace

class Count::Impl {
 public:
  Impl() { of_this_thread = &backend; }
  ~Impl() { of_this_thread = nullptr; }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  CountingMemory memory;  // throws if there is one in this thread
  CountingBackend backend;
};

Count::Count() : impl_(std::make_unique<Impl>()) {}
Count::~Count() = default;

const Tally& Count::tally() const { return impl_->backend.tally(); }
MemoryStats Count::memory() const { return impl_->memory.allocator().stats(); }

VocabularyPart::VocabularyPart() { ++vocabulary_parts; }
VocabularyPart::~VocabularyPart() { --vocabulary_parts; }

bool counts_vocabulary() { return vocabulary_parts > 0; }

Backend& counting_backend() {
  if (of_this_thread) return *of_this_thread;
  throw ConfigError("device counting: nothing counts in this thread; make a Count first");
}

double Tally::product_flop() const {
  double flop = 0;
  for (const auto& [product, times] : products) {
    if (!product.of_vocabulary) flop += product.flop() * static_cast<double>(times);
  }
  return flop;
}

}  // namespace ssa
