#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/storage/safetensors.h"

namespace ssa {

namespace {

/// Thrown inside this file. parse_safetensors_header() adds the path.
struct HeaderProblem {
  std::string reason;
};

template <class... Args>
[[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) {
  throw HeaderProblem{fmt::format(format, std::forward<Args>(args)...)};
}

std::optional<DType> parse_dtype(const std::string& text) {
  if (text == "F64") return DType::f64;
  if (text == "F32") return DType::f32;
  if (text == "BF16") return DType::bf16;
  if (text == "F16") return DType::f16;
  if (text == "I32") return DType::i32;
  if (text == "U8") return DType::u8;
  return std::nullopt;
}

/// Bytes of an element of a dtype that is not read. Other programs' files have such tensors beside
/// their weights.
size_t size_of_unreadable(const std::string& text, const std::string& tensor) {
  if (text == "I64" || text == "U64") return 8;
  if (text == "U32") return 4;
  if (text == "I16" || text == "U16") return 2;
  if (text == "I8" || text == "BOOL" || text == "F8_E4M3" || text == "F8_E5M2") return 1;
  reject("tensor '{}' has dtype '{}', which is not known", tensor, text);
}

/// A tensor's entry in the header, not yet checked.
struct RawEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape;
  std::optional<std::vector<uint64_t>> offsets;
};

/// Receives the header's JSON token by token. A DOM would hide duplicate keys (the last one wins)
/// and let a hostile header build arbitrarily deep values.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<RawEntry> entries;
  SafetensorsMetadata metadata;

  bool start_object(size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::top;
        return true;
      case Place::top:
        place_ = key_ == "__metadata__" ? Place::metadata : Place::tensor;
        if (place_ == Place::tensor) entries.push_back({key_, {}, {}, {}});
        return true;
      default:
        unexpected("an object");
    }
  }
  bool end_object() override {
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }
  bool key(std::string& text) override {
    key_ = text;
    if (place_ == Place::top && !top_keys_.insert(text).second)
      reject("key '{}' comes twice", text);
    if (place_ == Place::metadata && !metadata.emplace(text, "").second) {
      reject("key '{}' comes twice in __metadata__", text);
    }
    return true;
  }
  bool start_array(size_t) override {
    if (place_ != Place::tensor) unexpected("an array");
    auto& list = key_ == "shape"          ? entries.back().shape
                 : key_ == "data_offsets" ? entries.back().offsets
                                          : unexpected("an array");
    if (list) reject("key '{}' of tensor '{}' comes twice", key_, entries.back().name);
    list.emplace();
    numbers_ = &*list;
    place_ = Place::numbers;
    return true;
  }
  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }
  bool string(std::string& text) override {
    if (place_ == Place::metadata) {
      metadata[key_] = text;
    } else if (place_ == Place::tensor && key_ == "dtype") {
      if (entries.back().dtype) {
        reject("key 'dtype' of tensor '{}' comes twice", entries.back().name);
      }
      entries.back().dtype = text;
    } else {
      unexpected("a string");
    }
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::numbers) unexpected("a number");
    numbers_->push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const std::string&) override {
    unexpected("a number that is no 64-bit integer");
  }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    reject("the header is no valid JSON at byte {}: {}", position, error.what());
  }

 private:
  enum class Place { outside, top, metadata, tensor, numbers };

  [[noreturn]] std::optional<std::vector<uint64_t>>& unexpected(std::string_view what) const {
    reject("the header has {} where the format allows none{}", what,
           key_.empty() ? "" : fmt::format(" (near key '{}')", key_));
  }

  Place place_ = Place::outside;
  std::string key_;
  std::set<std::string> top_keys_;
  std::vector<uint64_t>* numbers_ = nullptr;
};

/// The bytes of a tensor. Every product of extents must fit, even beside a zero extent, because
/// strides are computed from them.
uint64_t checked_bytes(const RawEntry& raw, size_t element) {
  auto bytes = static_cast<int64_t>(element);
  bool empty = false;
  for (const uint64_t extent : *raw.shape) {
    if (extent == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, extent, &bytes)) {
      reject("the shape of tensor '{}' overflows", raw.name);
    }
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

SafetensorsEntry checked_entry(const RawEntry& raw, uint64_t data_bytes) {
  if (!raw.dtype || !raw.shape || !raw.offsets) {
    reject("tensor '{}' lacks one of dtype, shape and data_offsets", raw.name);
  }
  if (raw.offsets->size() != 2) {
    reject("tensor '{}' has {} data_offsets, not 2", raw.name, raw.offsets->size());
  }
  SafetensorsEntry entry;
  entry.name = raw.name;
  const std::optional<DType> dtype = parse_dtype(*raw.dtype);
  if (!dtype) entry.unreadable = *raw.dtype;
  entry.dtype = dtype.value_or(DType::u8);
  entry.begin = (*raw.offsets)[0];
  entry.end = (*raw.offsets)[1];
  if (entry.begin > entry.end || entry.end > data_bytes) {
    reject("tensor '{}' lies at bytes {} … {} of {}", raw.name, entry.begin, entry.end, data_bytes);
  }
  const uint64_t bytes =
      checked_bytes(raw, dtype ? size_of(*dtype) : size_of_unreadable(*raw.dtype, raw.name));
  entry.shape = Shape(std::vector<int64_t>(raw.shape->begin(), raw.shape->end()));
  if (bytes != entry.end - entry.begin) {
    reject("tensor '{}' is {} {} ({} bytes) but has {} bytes in the file", raw.name, *raw.dtype,
           to_string(entry.shape), bytes, entry.end - entry.begin);
  }
  return entry;
}

void check_layout(const std::vector<SafetensorsEntry>& entries, uint64_t data_bytes) {
  uint64_t expected = 0;
  for (const auto& entry : entries) {
    if (entry.begin != expected) {
      reject("tensor '{}' begins at byte {}, not {}: {}", entry.name, entry.begin, expected,
             entry.begin < expected ? "it overlaps the one before" : "there is a hole");
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    reject("the tensors end at byte {} of {}: there is a hole", expected, data_bytes);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& text, uint64_t data_bytes,
                                           const std::string& path) {
  try {
    if (text.empty() || text[0] != '{') reject("the header does not begin with '{{'");
    HeaderHandler handler;
    nlohmann::json::sax_parse(text, &handler);
    SafetensorsHeader header;
    header.metadata = std::move(handler.metadata);
    for (const RawEntry& raw : handler.entries) {
      header.entries.push_back(checked_entry(raw, data_bytes));
    }
    std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    check_layout(header.entries, data_bytes);
    return header;
  } catch (const HeaderProblem& problem) {
    throw CheckpointError("{} is no valid safetensors file: {}", path, problem.reason);
  }
}

}  // namespace ssa
