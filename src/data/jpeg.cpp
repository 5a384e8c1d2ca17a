#include "jpeg.h"

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h uses FILE without including it

#include <jerror.h>
#include <jpeglib.h>

#include "ssa/core/error.h"

// libjpeg reports errors by a function that must not return; it jumps back here. Nothing with a
// destructor may live between the setjmp and the jump, so decoding is split into functions that
// hold plain data only.

namespace ssa {

namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg knows only this part
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> message;
  bool ended_early;
};

ErrorManager& manager_of(j_common_ptr info) { return *reinterpret_cast<ErrorManager*>(info->err); }

[[noreturn]] void on_error(j_common_ptr info) {
  ErrorManager& manager = manager_of(info);
  manager.base.format_message(info, manager.message.data());
  std::longjmp(manager.back, 1);
}

/// Keeps quiet about warnings such as superfluous bytes, as Pillow does, but remembers a picture
/// that ends early: libjpeg fills up the rest with gray.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) manager_of(info).ended_early = true;
}

void no_output(j_common_ptr) {}

struct Decoder {
  jpeg_decompress_struct info;
  ErrorManager errors;
};

/// Reads the header. False with errors.message set if that fails.
bool begin(Decoder& decoder, std::span<const uint8_t> bytes) {
  decoder.info.err = jpeg_std_error(&decoder.errors.base);
  decoder.errors.base.error_exit = on_error;
  decoder.errors.base.emit_message = on_message;
  decoder.errors.base.output_message = no_output;
  decoder.errors.message[0] = '\0';
  decoder.errors.ended_early = false;
  jpeg_create_decompress(&decoder.info);
  if (setjmp(decoder.errors.back) != 0) return false;
  jpeg_mem_src(&decoder.info, bytes.data(), bytes.size());
  jpeg_read_header(&decoder.info, TRUE);
  const bool inks = decoder.info.num_components == 4;
  decoder.info.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&decoder.info);
  return true;
}

/// Writes all rows to `out`, row by row. False with errors.message set if that fails.
bool read_rows(Decoder& decoder, uint8_t* out, size_t row_bytes) {
  if (setjmp(decoder.errors.back) != 0) return false;
  while (decoder.info.output_scanline < decoder.info.output_height) {
    uint8_t* row = out + decoder.info.output_scanline * row_bytes;
    jpeg_read_scanlines(&decoder.info, &row, 1);
  }
  jpeg_finish_decompress(&decoder.info);
  return true;
}

/// Adobe's inverted inks, each weakened by black: R = C·K / 255.
std::vector<uint8_t> mixed(const std::vector<uint8_t>& inks) {
  std::vector<uint8_t> pixels;
  pixels.reserve(inks.size() / 4 * 3);
  for (size_t i = 0; i + 3 < inks.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) {
      pixels.push_back(static_cast<uint8_t>((inks[i + c] * inks[i + 3] + 127) / 255));
    }
  }
  return pixels;
}

}  // namespace

Picture decode_jpeg(std::span<const uint8_t> bytes, const std::string& path) {
  struct Owner : Decoder {
    ~Owner() { jpeg_destroy_decompress(&info); }
  } decoder;
  const auto fail = [&](std::string_view why) {
    throw DataError("'{}' is no sound JPEG: {}", path, why);
  };
  if (!begin(decoder, bytes)) fail(decoder.errors.message.data());
  const auto width = static_cast<int64_t>(decoder.info.output_width);
  const auto height = static_cast<int64_t>(decoder.info.output_height);
  if (width * height > kMostPixels) fail(fmt::format("{} x {} pixels are too many", width, height));
  const auto row_bytes = static_cast<size_t>(width * decoder.info.output_components);
  std::vector<uint8_t> pixels(row_bytes * static_cast<size_t>(height));
  if (!read_rows(decoder, pixels.data(), row_bytes)) fail(decoder.errors.message.data());
  if (decoder.errors.ended_early) fail("it ends early");
  if (decoder.info.output_components == 4) pixels = mixed(pixels);
  return {height, width, std::move(pixels)};
}

}  // namespace ssa
