#pragma once

#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/philox.h"
#include "ssa/storage/checkpoint.h"

#include "support/files.h"

namespace ssa::testing {

/// Installs a fault hook for as long as it lives.
struct HookGuard {
  explicit HookGuard(FileFaultHook hook) { set_file_fault_hook(std::move(hook)); }
  ~HookGuard() { set_file_fault_hook({}); }
};

/// A host tensor of random bits.
inline Tensor random_tensor(const Shape& shape, DType dtype, uint64_t seed) {
  Tensor tensor = Tensor::empty(shape, dtype, Device::cpu);
  const RngKey key{seed};
  for (size_t i = 0; i < tensor.bytes(); ++i) {
    tensor.raw()[i] = static_cast<std::byte>(key.word(i) & 0xff);
  }
  return tensor;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// What a run has at a step: a pure function of it.
inline CheckpointData data_of_step(int64_t step) {
  const auto seed = static_cast<uint64_t>(step) * 16;
  CheckpointData data;
  data.step = step;
  data.model = {{"embedding.weight", random_tensor({37, 11}, DType::f32, seed)},
                {"blocks.0.attention.query.weight", random_tensor({5, 7}, DType::bf16, seed + 1)},
                {"empty", random_tensor({0, 3}, DType::f32, seed + 2)}};
  data.optimizer = {{"m.embedding.weight", random_tensor({37, 11}, DType::f32, seed + 3)},
                    {"count", random_tensor({}, DType::i32, seed + 4)}};
  data.state_json = "{\"step\":" + std::to_string(step) + "}";
  return data;
}

inline bool same_tensors(const SafetensorsFile& file, const std::vector<NamedTensor>& expected) {
  bool same = file.names().size() == expected.size();
  for (const NamedTensor& named : expected) {
    same = same && file.contains(named.name) &&
           same_bits(file.load(named.name, Device::cpu, MemoryCategory::data), named.tensor);
  }
  return same;
}

inline bool same_tensors(const ShardedTensors& tensors, const std::vector<NamedTensor>& expected) {
  bool same = tensors.names().size() == expected.size();
  for (const NamedTensor& named : expected) {
    Tensor loaded = Tensor::empty_like(named.tensor, MemoryCategory::data);
    tensors.load(named.name, named.tensor.shape(), 0, loaded);
    same = same && same_bits(loaded, named.tensor);
  }
  return same;
}

/// The part of each tensor that shard `index` of `shards` has: about as many elements as the
/// others.
inline std::vector<NamedTensor> shard_of(const std::vector<NamedTensor>& tensors, int index,
                                         int shards) {
  std::vector<NamedTensor> parts;
  for (const auto& [name, tensor] : tensors) {
    const int64_t count = tensor.numel();
    const int64_t begin = count * index / shards, end = count * (index + 1) / shards;
    if (begin == end) continue;
    parts.push_back(
        {part_name(name, begin, end), tensor.view({count}).slice(0, begin, end - begin)});
  }
  return parts;
}

/// As save_checkpoint() does, with the optimizer in several files.
inline void save_sharded(const std::string& run_dir, const CheckpointData& data, int shards,
                         int64_t keep) {
  CheckpointSave save(run_dir, data.step, keep);
  save.write_model(data.model);
  save.write_state(data.state_json);
  if (!data.config_yaml.empty()) save.write_config(data.config_yaml);
  std::vector<SavedFile> files;
  for (int index = 0; index < shards; ++index) {
    files.push_back(save_optimizer_shard(run_dir, data.step, index, shards,
                                         shard_of(data.optimizer, index, shards)));
  }
  save.commit(files);
}

/// Whether a checkpoint holds exactly what the run has at its step.
inline bool is_intact(const LoadedCheckpoint& checkpoint) {
  const CheckpointData expected = data_of_step(checkpoint.step);
  return same_tensors(checkpoint.model, expected.model) &&
         same_tensors(checkpoint.optimizer, expected.optimizer) &&
         checkpoint.state_json == expected.state_json;
}

/// Asserts that `call()` throws a CheckpointError whose message contains each of `parts`.
template <class Call>
void require_checkpoint_error(Call&& call, const std::vector<std::string>& parts) {
  std::string message;
  ExitCode code = ExitCode::ok;
  try {
    call();
  } catch (const Error& error) {
    message = error.what();
    code = error.code();
  }
  CAPTURE(message);
  REQUIRE(code == ExitCode::checkpoint);
  for (const std::string& part : parts) {
    CAPTURE(part);
    REQUIRE(message.find(part) != std::string::npos);
  }
}

}  // namespace ssa::testing
