// Reads any bytes as a safetensors file, and writes back what it holds.

#include <cstring>

#include "ssa/core/error.h"
#include "ssa/storage/sharded_tensors.h"

#include "fuzz/support.h"

using namespace ssa;
using namespace ssa::fuzz;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

Tensor load(const SafetensorsFile& file, const std::string& name) {
  return file.load(name, Device::cpu, MemoryCategory::data);
}

void check_round_trip(const SafetensorsFile& file) {
  std::vector<NamedTensor> tensors;
  for (const SafetensorsEntry& entry : file.entries()) {
    if (entry.unreadable.empty()) tensors.push_back({entry.name, load(file, entry.name)});
  }
  const std::string copy = folder() / "copy.safetensors";
  write_safetensors(copy, tensors, file.metadata());
  const SafetensorsFile again(copy);
  require(again.metadata() == file.metadata(), "metadata survive a round trip");
  require(again.names().size() == tensors.size(), "all tensors survive a round trip");
  for (const NamedTensor& named : tensors) {
    require(same_bits(load(again, named.name), named.tensor), "elements survive a round trip");
  }
}

/// Loads the tensors as parts of an optimizer's state.
void load_sharded(const std::string& path) {
  std::vector<SafetensorsFile> files;
  files.emplace_back(path);
  const ShardedTensors sharded(std::move(files));
  const SafetensorsFile file(path);
  for (const std::string& name : sharded.names()) {
    if (!file.contains(name)) continue;
    const auto loaded = parsed<CheckpointError>([&] { return load(file, name); });
    if (!loaded) continue;  // a dtype that is not read
    const Tensor& whole = *loaded;
    Tensor elements = Tensor::empty({whole.numel()}, whole.dtype(), Device::cpu);
    sharded.load(name, whole.shape(), 0, elements);
    require(same_bits(elements, whole.view({whole.numel()})), "a tensor in one part is whole");
  }
}

void read(const std::string& bytes) {
  const std::string path = folder() / "input.safetensors";
  testing::write_bytes(path, bytes);
  const auto file = parsed<CheckpointError>([&] { return SafetensorsFile(path); });
  if (!file) return;
  check_round_trip(*file);
  accepted<CheckpointError>([&] { load_sharded(path); });
}

/// The bytes after the size of their header, which ends with the last brace.
std::string with_header_size(const std::string& bytes) {
  const size_t brace = bytes.rfind('}');
  const uint64_t size = brace == std::string::npos ? bytes.size() : brace + 1;
  std::string framed;
  for (size_t i = 0; i < 8; ++i) framed += static_cast<char>(size >> (8 * i));
  return framed + bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = text_of(data, size);
  read(bytes);
  read(with_header_size(bytes));
  return 0;
}
