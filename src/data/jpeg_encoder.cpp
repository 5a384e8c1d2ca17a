#include <array>
#include <csetjmp>
#include <cstdio>  // jpeglib.h uses FILE without including it
#include <cstdlib>

#include <jpeglib.h>

#include "ssa/core/error.h"
#include "ssa/data/picture.h"

#include "picture_checks.h"

// libjpeg reports errors by a function that must not return; it jumps back here. Nothing with a
// destructor may live between the setjmp and the jump.

namespace ssa {

namespace {

struct Encoder {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> message;
  unsigned char* bytes;
  unsigned long size;  // NOLINT(google-runtime-int): libjpeg's type
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* encoder = static_cast<Encoder*>(info->client_data);
  info->err->format_message(info, encoder->message.data());
  std::longjmp(encoder->back, 1);
}

/// False with the encoder's message set if that fails.
bool encode(Encoder& encoder, const uint8_t* pixels, JDIMENSION height, JDIMENSION width,
            int quality) {
  encoder.info.err = jpeg_std_error(&encoder.errors);
  encoder.errors.error_exit = on_error;
  encoder.info.client_data = &encoder;
  if (setjmp(encoder.back) != 0) return false;
  jpeg_create_compress(&encoder.info);
  jpeg_mem_dest(&encoder.info, &encoder.bytes, &encoder.size);
  encoder.info.image_width = width;
  encoder.info.image_height = height;
  encoder.info.input_components = kChannels;
  encoder.info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder.info);
  jpeg_set_quality(&encoder.info, quality, TRUE);
  jpeg_start_compress(&encoder.info, TRUE);
  while (encoder.info.next_scanline < height) {
    // libjpeg does not write to the row, but wants a pointer that allows it.
    auto* row =
        const_cast<uint8_t*>(pixels + size_t{encoder.info.next_scanline} * width * kChannels);
    jpeg_write_scanlines(&encoder.info, &row, 1);
  }
  jpeg_finish_compress(&encoder.info);
  return true;
}

/// Frees what libjpeg has allocated.
struct Owner : Encoder {
  Owner() : Encoder{} {}
  ~Owner() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
};

}  // namespace

std::vector<uint8_t> encode_jpeg(const Picture& picture, int quality) {
  require_picture("jpeg", picture);
  SSA_CHECK(quality >= 1 && quality <= 100, "jpeg: quality {} is not 1 … 100", quality);
  Owner encoder;
  if (!encode(encoder, picture.pixels.data(), static_cast<JDIMENSION>(picture.height),
              static_cast<JDIMENSION>(picture.width), quality)) {
    throw DataError("a picture of {} x {} pixels cannot be written as JPEG: {}", picture.width,
                    picture.height, encoder.message.data());
  }
  return {encoder.bytes, encoder.bytes + encoder.size};
}

}  // namespace ssa
