#include "ssa/storage/tensorboard.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr uint32_t kEventWallTime = 1;     // double
constexpr uint32_t kEventStep = 2;         // int64
constexpr uint32_t kEventFileVersion = 3;  // string
constexpr uint32_t kEventSummary = 5;      // Summary
constexpr uint32_t kEventSessionLog = 7;   // SessionLog
constexpr uint32_t kSummaryValue = 1;      // repeated Summary.Value
constexpr uint32_t kValueTag = 1;          // string
constexpr uint32_t kValueSimpleValue = 2;  // float
constexpr uint32_t kValueImage = 4;        // Summary.Image
constexpr uint32_t kValueTensor = 8;       // TensorProto
constexpr uint32_t kValueMetadata = 9;     // SummaryMetadata
constexpr uint32_t kImageHeight = 1;       // int32
constexpr uint32_t kImageWidth = 2;        // int32
constexpr uint32_t kImageColorspace = 3;   // int32: the number of channels
constexpr uint32_t kImageEncoded = 4;      // bytes
constexpr uint32_t kSessionStatus = 1;     // enum
constexpr uint64_t kSessionStart = 1;
// framework/tensor.proto, tensor_shape.proto and summary.proto.
constexpr uint32_t kTensorType = 1;     // enum
constexpr uint32_t kTensorShape = 2;    // TensorShapeProto
constexpr uint32_t kTensorFloats = 5;   // repeated float
constexpr uint32_t kTensorStrings = 8;  // repeated bytes
constexpr uint64_t kFloatType = 1;
constexpr uint64_t kStringType = 7;
constexpr uint32_t kShapeDim = 2;       // repeated Dim
constexpr uint32_t kDimSize = 1;        // int64
constexpr uint32_t kPluginData = 1;     // of SummaryMetadata
constexpr uint32_t kPluginName = 1;     // string
constexpr uint32_t kPluginContent = 2;  // bytes
// tensorboard/plugins/hparams/plugin_data.proto and google/protobuf/struct.proto.
constexpr uint32_t kHparamsStart = 3;  // SessionStartInfo
constexpr uint32_t kHparamsEnd = 4;    // SessionEndInfo
constexpr uint32_t kStartValues = 1;   // map<string, Value>
constexpr uint32_t kStartTime = 5;     // double
constexpr uint32_t kEndStatus = 1;     // enum
constexpr uint32_t kEndTime = 2;       // double
constexpr uint64_t kSuccess = 1;
constexpr uint32_t kMapKey = 1;
constexpr uint32_t kMapValue = 2;
constexpr uint32_t kNumberValue = 2;  // double
constexpr uint32_t kStringValue = 3;  // string
constexpr uint32_t kBoolValue = 4;    // bool

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <class Unsigned>
void append_little_endian(std::string& out, Unsigned value) {
  for (size_t i = 0; i < sizeof(value); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7f) | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_key(std::string& out, uint32_t field, WireType type) {
  append_varint(out, (field << 3) | type);
}

void append_varint_field(std::string& out, uint32_t field, uint64_t value) {
  append_key(out, field, kVarint);
  append_varint(out, value);
}

void append_bytes_field(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

/// The masked checksum of a record, as the TFRecord format defines it.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  return std::rotr(crc, 15) + 0xa282ead8u;
}

void append_double_field(std::string& out, uint32_t field, double value) {
  append_key(out, field, kFixed64);
  append_little_endian(out, std::bit_cast<uint64_t>(value));
}

std::string record(std::string_view event) {
  std::string out;
  append_little_endian(out, uint64_t{event.size()});
  append_little_endian(out, masked_crc(out));
  out.append(event);
  append_little_endian(out, masked_crc(event));
  return out;
}

/// A tensor of one element, which `field` holds.
std::string tensor_of_one(uint64_t type, std::string_view field) {
  std::string dim, shape, tensor;
  append_varint_field(dim, kDimSize, 1);
  append_bytes_field(shape, kShapeDim, dim);
  append_varint_field(tensor, kTensorType, type);
  append_bytes_field(tensor, kTensorShape, shape);
  tensor.append(field);
  return tensor;
}

/// Says which plugin a value is for.
std::string metadata_of(std::string_view plugin, std::string_view content) {
  std::string data, metadata;
  append_bytes_field(data, kPluginName, plugin);
  append_bytes_field(data, kPluginContent, content);
  append_bytes_field(metadata, kPluginData, data);
  return metadata;
}

/// A value of a config as google.protobuf.Value.
std::string protobuf_value(const std::string& text) {
  std::string value;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end) {
    append_double_field(value, kNumberValue, number);
  } else if (text == "true" || text == "false") {
    append_varint_field(value, kBoolValue, text == "true" ? 1 : 0);
  } else {
    append_bytes_field(value, kStringValue, text);
  }
  return value;
}

/// The text with U+FFFD for bytes that are not UTF-8.
std::string as_utf8(std::string_view text) {
  using nlohmann::json;
  const std::string quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(quoted).get<std::string>();
}

/// Markdown that shows a text as it is: a block of code, whose lines four blanks begin.
std::string as_code_block(std::string_view text) {
  std::string block = "    ";
  for (const char c : text) {
    block += c;
    if (c == '\n') block += "    ";
  }
  return block;
}

/// What a PNG file says of itself in its first chunk.
struct PngHeader {
  uint32_t width = 0, height = 0, channels = 0;
};

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

/// Signature (8), length (4), "IHDR", width (4), height (4), bit depth (1), colour type (1).
PngHeader png_header(std::string_view png) {
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
  if (png.size() < 26 || !png.starts_with(kSignature) || png.substr(12, 4) != "IHDR") {
    throw DataError("TensorBoard image: the {} bytes are no PNG file", png.size());
  }
  constexpr std::array<uint32_t, 7> kChannels = {1, 0, 3, 3, 2, 0, 4};  // of each colour type
  const auto type = static_cast<uint8_t>(png[25]);
  return {big_endian(png.substr(16)), big_endian(png.substr(20)),
          type < kChannels.size() ? kChannels[type] : 0};
}

double wall_time() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since_epoch).count();
}

constexpr std::string_view kFilePrefix = "events.out.tfevents.";

/// The time in the name of an event file; 0: it is none.
int64_t time_of(std::string_view file) {
  if (!file.starts_with(kFilePrefix)) return 0;
  file.remove_prefix(kFilePrefix.size());
  int64_t time = 0;
  std::from_chars(file.data(), file.data() + file.size(), time);
  return time;
}

/// TensorBoard reads a folder's files in the order of their names, hence the padded time first. It
/// is later than that of every other file, even where the clock was put back or no second passed.
std::string event_file_path(const std::string& dir) {
  static std::atomic<int> files_of_this_process = 0;
  auto time = static_cast<int64_t>(wall_time());
  for (const std::string& file : list_directory(dir)) time = std::max(time, time_of(file) + 1);
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  return fmt::format("{}/{}{:010}.{}.{}.{}", dir, kFilePrefix, time, host.data(), ::getpid(),
                     files_of_this_process++);
}

}  // namespace

EventWriter::EventWriter(const std::string& dir, std::optional<int64_t> last_step)
    : file_(event_file_path(dir), OutputFile::Mode::append) {
  std::string fields;
  append_bytes_field(fields, kEventFileVersion, "brain.Event:2");
  write_event(fields, 0);
  if (!last_step) return;
  std::string session_log;
  append_varint_field(session_log, kSessionStatus, kSessionStart);
  fields.clear();
  append_bytes_field(fields, kEventSessionLog, session_log);
  write_event(fields, *last_step + 1);
}

void EventWriter::write_event(std::string_view fields, int64_t step) {
  std::string event;
  append_double_field(event, kEventWallTime, wall_time());
  if (step != 0) append_varint_field(event, kEventStep, static_cast<uint64_t>(step));
  event.append(fields);
  file_.write(record(event));
}

void EventWriter::write_summary(std::string_view value, int64_t step) {
  std::string summary;
  append_bytes_field(summary, kSummaryValue, value);
  std::string fields;
  append_bytes_field(fields, kEventSummary, summary);
  write_event(fields, step);
}

void EventWriter::scalar(const std::string& tag, int64_t step, double value) {
  std::string summary_value;
  append_bytes_field(summary_value, kValueTag, tag);
  append_key(summary_value, kValueSimpleValue, kFixed32);
  append_little_endian(summary_value, std::bit_cast<uint32_t>(static_cast<float>(value)));
  write_summary(summary_value, step);
}

void EventWriter::image(const std::string& tag, int64_t step, std::string_view png) {
  const PngHeader header = png_header(png);
  std::string image;
  append_varint_field(image, kImageHeight, header.height);
  append_varint_field(image, kImageWidth, header.width);
  append_varint_field(image, kImageColorspace, header.channels);
  append_bytes_field(image, kImageEncoded, png);
  std::string summary_value;
  append_bytes_field(summary_value, kValueTag, tag);
  append_bytes_field(summary_value, kValueImage, image);
  write_summary(summary_value, step);
}

void EventWriter::write_tensor(const std::string& tag, int64_t step, std::string_view tensor,
                               std::string_view metadata) {
  std::string value;
  append_bytes_field(value, kValueTag, tag);
  append_bytes_field(value, kValueTensor, tensor);
  append_bytes_field(value, kValueMetadata, metadata);
  write_summary(value, step);
}

void EventWriter::text(const std::string& tag, int64_t step, std::string_view text) {
  std::string field;
  append_bytes_field(field, kTensorStrings, as_code_block(as_utf8(text)));
  write_tensor(tag, step, tensor_of_one(kStringType, field), metadata_of("text", ""));
}

namespace {

/// The plugin reads its data from the metadata; a value has to be there.
std::string no_value() {
  std::string field;
  append_key(field, kTensorFloats, kFixed32);
  append_little_endian(field, uint32_t{0});
  return tensor_of_one(kFloatType, field);
}

}  // namespace

void EventWriter::hyperparameters(const std::vector<std::pair<std::string, std::string>>& values) {
  std::string start, data;
  for (const auto& [key, text] : values) {
    std::string entry;
    append_bytes_field(entry, kMapKey, key);
    append_bytes_field(entry, kMapValue, protobuf_value(as_utf8(text)));
    append_bytes_field(start, kStartValues, entry);
  }
  append_double_field(start, kStartTime, wall_time());
  append_bytes_field(data, kHparamsStart, start);
  write_tensor("_hparams_/session_start_info", 0, no_value(), metadata_of("hparams", data));
}

void EventWriter::finished() {
  std::string end, data;
  append_varint_field(end, kEndStatus, kSuccess);
  append_double_field(end, kEndTime, wall_time());
  append_bytes_field(data, kHparamsEnd, end);
  write_tensor("_hparams_/session_end_info", 0, no_value(), metadata_of("hparams", data));
}

void EventWriter::write(const MetricsEvent& event) {
  for (const auto& [name, value] : numbers(event)) {
    scalar(event.split + "/" + name, event.step, value);
  }
}

}  // namespace ssa
