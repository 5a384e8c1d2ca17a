#include "jpeg.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h uses FILE without including it
#include <cstring>

#include <jerror.h>
#include <jpeglib.h>

#include "ssa/core/error.h"

#include "picture_checks.h"

// libjpeg reports errors by a function that must not return; it jumps back here. Nothing with a
// destructor may live between the setjmp and the jump, so decoding is split into functions that
// hold plain data only.

namespace ssa {

namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;
/// Huffman codes take a bit at least for each block of 8 x 8 pixels, so a picture of more pixels is
/// not whole.
constexpr int64_t kMostPixelsPerByte = 8 * 8 * 8;
/// Arithmetic codes may take less for a picture of one colour, of this size at most: a few bytes
/// that claim more would cost a gigabyte.
constexpr int64_t kMostArithmeticPixels = int64_t{1} << 24;

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

/// Ends a progressive picture of so many scans that each of them costs more than its bytes: every
/// scan goes over all pixels.
void on_progress(j_common_ptr info) {
  constexpr int kMostScans = 500;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  ErrorManager& manager = manager_of(info);
  std::strncpy(manager.message.data(), "it has too many scans", manager.message.size());
  std::longjmp(manager.back, 1);
}

struct Decoder {
  jpeg_decompress_struct info;
  jpeg_progress_mgr progress;
  ErrorManager errors;
};

/// Reads the header. False with errors.message set if that fails.
bool read_header(Decoder& decoder, std::span<const uint8_t> bytes) {
  decoder.info.err = jpeg_std_error(&decoder.errors.base);
  decoder.errors.base.error_exit = on_error;
  decoder.errors.base.emit_message = on_message;
  decoder.errors.base.output_message = no_output;
  decoder.errors.message[0] = '\0';
  decoder.errors.ended_early = false;
  if (setjmp(decoder.errors.back) != 0) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.progress.progress_monitor = on_progress;
  decoder.info.progress = &decoder.progress;
  jpeg_mem_src(&decoder.info, bytes.data(), bytes.size());
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

/// The columns that are decoded. libjpeg begins with a whole block, so the first may come earlier
/// than asked for.
struct Columns {
  JDIMENSION first, count;
};

/// Begins to decode at least `columns`, and sets them to those that it decodes. False with
/// errors.message set if that fails.
bool start(Decoder& decoder, Columns& columns) {
  if (setjmp(decoder.errors.back) != 0) return false;
  const bool inks = decoder.info.num_components == 4;
  decoder.info.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&decoder.info);
  if (columns.count < decoder.info.output_width) {
    jpeg_crop_scanline(&decoder.info, &columns.first, &columns.count);
  }
  return true;
}

/// Writes `count` rows from `first` on to `out`. False with errors.message set if that fails.
bool read_rows(Decoder& decoder, JDIMENSION first, JDIMENSION count, uint8_t* out,
               size_t row_bytes) {
  if (setjmp(decoder.errors.back) != 0) return false;
  if (first > 0) jpeg_skip_scanlines(&decoder.info, first);
  while (decoder.info.output_scanline < first + count) {
    uint8_t* row = out + (decoder.info.output_scanline - first) * row_bytes;
    jpeg_read_scanlines(&decoder.info, &row, 1);
  }
  if (decoder.info.output_scanline == decoder.info.output_height) {
    jpeg_finish_decompress(&decoder.info);
  }
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

/// Frees what libjpeg has allocated.
struct Owner : Decoder {
  Owner() : Decoder{} {}
  ~Owner() { jpeg_destroy_decompress(&info); }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
};

/// A JPEG whose header has been read. Turns libjpeg's errors into exceptions.
class Jpeg {
 public:
  Jpeg(std::span<const uint8_t> bytes, const std::string& path) : path_(path) {
    if (!read_header(decoder_, bytes)) fail(decoder_.errors.message.data());
    const int64_t pixels = height() * width();
    if (pixels > kMostPixels) {
      fail(fmt::format("{} x {} pixels are too many", width(), height()));
    }
    if (pixels / kMostPixelsPerByte > std::ssize(bytes) &&
        (!decoder_.info.arith_code || pixels > kMostArithmeticPixels)) {
      fail(fmt::format("it ends early: {} bytes for {} x {} pixels", bytes.size(), width(),
                       height()));
    }
  }

  int64_t height() const { return decoder_.info.image_height; }
  int64_t width() const { return decoder_.info.image_width; }

  /// Decodes the rows of `box`, and of each at least its columns. Sets `columns` to those that the
  /// result has.
  Picture read(const Box& box, Columns& columns) {
    columns = {static_cast<JDIMENSION>(box.left), static_cast<JDIMENSION>(box.width)};
    if (!start(decoder_, columns)) fail(decoder_.errors.message.data());
    const auto row_bytes = size_t{columns.count} * decoder_.info.output_components;
    std::vector<uint8_t> pixels(row_bytes * static_cast<size_t>(box.height));
    if (!read_rows(decoder_, static_cast<JDIMENSION>(box.top), static_cast<JDIMENSION>(box.height),
                   pixels.data(), row_bytes)) {
      fail(decoder_.errors.message.data());
    }
    if (decoder_.errors.ended_early) fail("it ends early");
    if (decoder_.info.output_components == 4) pixels = mixed(pixels);
    return {box.height, columns.count, std::move(pixels)};
  }

 private:
  [[noreturn]] void fail(std::string_view why) const {
    throw DataError("'{}' is no sound JPEG: {}", path_, why);
  }

  const std::string& path_;
  Owner decoder_;
};

}  // namespace

Picture decode_jpeg(std::span<const uint8_t> bytes, const std::string& path) {
  Jpeg jpeg(bytes, path);
  Columns columns;
  return jpeg.read({0, 0, jpeg.height(), jpeg.width()}, columns);
}

Box jpeg_box(std::span<const uint8_t> bytes, const std::string& path) {
  const Jpeg jpeg(bytes, path);
  return {0, 0, jpeg.height(), jpeg.width()};
}

Picture decode_jpeg_crop(std::span<const uint8_t> bytes, const Box& box, const std::string& path) {
  Jpeg jpeg(bytes, path);
  require_inside("decode_crop", box, jpeg.height(), jpeg.width());
  // One pixel more on each side: libjpeg interpolates colours between neighbours, and at an edge it
  // knows one of them only.
  Box wider;
  wider.top = std::max<int64_t>(box.top - 1, 0);
  wider.left = std::max<int64_t>(box.left - 1, 0);
  wider.height = std::min(box.top + box.height + 1, jpeg.height()) - wider.top;
  wider.width = std::min(box.left + box.width + 1, jpeg.width()) - wider.left;
  Columns columns;
  const Picture decoded = jpeg.read(wider, columns);
  return crop(decoded, {box.top - wider.top, box.left - columns.first, box.height, box.width});
}

}  // namespace ssa
