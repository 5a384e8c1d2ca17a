#include "ssa/storage/safetensors.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t kSizeBytes = 8;

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
  }
  return "";
}

void check_whole(const Tensor& tensor, const std::string& name) {
  SSA_CHECK(tensor.defined() && tensor.is_contiguous(),
            "safetensors: tensor '{}' must be defined and contiguous", name);
}

uint64_t bytes_of(const TensorToWrite& tensor) {
  return static_cast<uint64_t>(tensor.shape.numel()) * size_of(tensor.dtype);
}

std::vector<const TensorToWrite*> in_file_order(const std::vector<TensorToWrite>& tensors,
                                                const std::string& path) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.name == "__metadata__") {
      throw CheckpointError("cannot write {}: '__metadata__' is a reserved name", path);
    }
    order.push_back(&tensor);
  }
  const auto by_size_and_name = [](const TensorToWrite* a, const TensorToWrite* b) {
    const size_t size_a = size_of(a->dtype);
    const size_t size_b = size_of(b->dtype);
    return std::tie(size_b, a->name) < std::tie(size_a, b->name);
  };
  std::sort(order.begin(), order.end(), by_size_and_name);
  return order;
}

/// The header after its size, padded with spaces so that the elements begin at a multiple of 8.
std::string header_text(const std::vector<const TensorToWrite*>& order,
                        const SafetensorsMetadata& metadata, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    const uint64_t end = offset + bytes_of(*tensor);
    if (header.contains(tensor->name)) {
      throw CheckpointError("cannot write {}: two tensors are called '{}'", path, tensor->name);
    }
    header[tensor->name] = {{"dtype", safetensors_name(tensor->dtype)},
                            {"shape", tensor->shape.dims()},
                            {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string json;
  try {
    json = header.dump();
  } catch (const nlohmann::json::exception& error) {  // a name that is not UTF-8
    throw CheckpointError("cannot write {}: {}", path, error.what());
  }
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string text(kSizeBytes, '\0');
  for (size_t i = 0; i < kSizeBytes; ++i) text[i] = static_cast<char>(json.size() >> (8 * i));
  return text + json;
}

}  // namespace

void write_safetensors(OutputFile& file, const std::vector<TensorToWrite>& tensors,
                       const SafetensorsMetadata& metadata) {
  const auto order = in_file_order(tensors, file.path());
  file.write(header_text(order, metadata, file.path()));
  for (const TensorToWrite* tensor : order) {
    const Tensor elements = tensor->make().on_host();
    SSA_CHECK(elements.dtype() == tensor->dtype && elements.shape() == tensor->shape,
              "safetensors: tensor '{}' is {} {}, announced as {} {}", tensor->name,
              name(elements.dtype()), to_string(elements.shape()), name(tensor->dtype),
              to_string(tensor->shape));
    file.write(elements.raw(), elements.bytes());
  }
}

void write_safetensors(OutputFile& file, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata) {
  std::vector<TensorToWrite> to_write;
  for (const NamedTensor& named : tensors) {
    const Tensor& tensor = named.tensor;
    check_whole(tensor, named.name);
    to_write.push_back({named.name, tensor.dtype(), tensor.shape(), [&tensor] { return tensor; }});
  }
  write_safetensors(file, to_write, metadata);
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata) {
  replace_file(path, [&](OutputFile& file) { write_safetensors(file, tensors, metadata); });
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  std::array<uint8_t, kSizeBytes> bytes{};
  file_.read(bytes.data(), bytes.size(), 0);
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kSizeBytes; ++i) header_bytes |= uint64_t{bytes[i]} << (8 * i);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_.bytes() - kSizeBytes) {
    throw CheckpointError(
        "{} is no valid safetensors file: it says that its header has {} bytes (file: {} bytes, "
        "limit: {})",
        path, header_bytes, file_.bytes(), kMaxHeaderBytes);
  }
  std::string text(header_bytes, '\0');
  file_.read(text.data(), text.size(), kSizeBytes);
  data_offset_ = kSizeBytes + header_bytes;
  header_ = parse_safetensors_header(text, file_.bytes() - data_offset_, path);
  for (size_t i = 0; i < header_.entries.size(); ++i) index_[header_.entries[i].name] = i;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& entry : header_.entries) names.push_back(entry.name);
  return names;
}

const SafetensorsEntry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw CheckpointError("{} has no tensor '{}' ({} others): was it written for another model?",
                          path(), name, index_.size());
  }
  const SafetensorsEntry& found_entry = header_.entries[found->second];
  if (!found_entry.unreadable.empty()) {
    throw CheckpointError(
        "{}: tensor '{}' has dtype {}; F64, F32, BF16, F16, I32 and U8 can be read", path(), name,
        found_entry.unreadable);
  }
  return found_entry;
}

Tensor SafetensorsFile::load(const std::string& name, Device device,
                             MemoryCategory category) const {
  const SafetensorsEntry& wanted = entry(name);
  Tensor tensor = Tensor::empty(wanted.shape, wanted.dtype, device, category);
  load_into(name, tensor);
  return tensor;
}

void SafetensorsFile::load_into(const std::string& name, Tensor& tensor) const {
  check_whole(tensor, name);
  const SafetensorsEntry& stored = entry(name);
  if (tensor.dtype() != stored.dtype || !(tensor.shape() == stored.shape)) {
    throw CheckpointError("{}: tensor '{}' is {} {} in the file, {} {} in the model", path(), name,
                          ssa::name(stored.dtype), to_string(stored.shape),
                          ssa::name(tensor.dtype()), to_string(tensor.shape()));
  }
  read_into(tensor, stored.begin);
}

void SafetensorsFile::load_elements(const std::string& name, int64_t first,
                                    Tensor& elements) const {
  check_whole(elements, name);
  const SafetensorsEntry& stored = entry(name);
  if (elements.dtype() != stored.dtype || first < 0 ||
      first + elements.numel() > stored.shape.numel()) {
    throw CheckpointError("{}: tensor '{}' is {} {} in the file; asked for {} elements {} to {}",
                          path(), name, ssa::name(stored.dtype), to_string(stored.shape),
                          ssa::name(elements.dtype()), first, first + elements.numel() - 1);
  }
  const auto offset = static_cast<uint64_t>(first) * size_of(stored.dtype);
  read_into(elements, stored.begin + offset);
}

/// Reads from `offset` bytes after the header.
void SafetensorsFile::read_into(Tensor& tensor, uint64_t offset) const {
  Tensor host = tensor;
  if (tensor.device() == Device::cuda) {
    host = Tensor::empty(tensor.shape(), tensor.dtype(), Device::cpu, MemoryCategory::data);
  }
  file_.read(host.raw(), host.bytes(), data_offset_ + offset);
  if (tensor.device() == Device::cuda) tensor.copy_from(host);
}

}  // namespace ssa
