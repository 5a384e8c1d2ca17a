#include "png.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>

#include <png.h>

#include "ssa/core/error.h"

// libpng reports errors by a function that must not return; it jumps back here. Nothing with a
// destructor may live between the setjmp and the jump.

namespace ssa {

namespace {

constexpr png_uint_32 kLongestSide = 1U << 16;
constexpr int64_t kMostPixels = int64_t{1} << 28;
/// A byte of deflate gives no more bytes than this.
constexpr int64_t kMostUnpacked = 1032;

/// What libpng's callbacks see.
struct Stream {
  std::span<const uint8_t> in{};
  size_t read = 0;
  std::vector<uint8_t> out{};
  std::array<char, 256> message{};
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto& message = static_cast<Stream*>(png_get_error_ptr(png))->message;
  std::strncpy(message.data(), text, message.size() - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, size_t count) {
  auto& stream = *static_cast<Stream*>(png_get_io_ptr(png));
  if (stream.in.size() - stream.read < count) png_error(png, "it ends early");
  std::memcpy(to, stream.in.data() + stream.read, count);
  stream.read += count;
}

void on_write(png_structp png, png_bytep from, size_t count) {
  auto& out = static_cast<Stream*>(png_get_io_ptr(png))->out;
  out.insert(out.end(), from, from + count);
}

void on_flush(png_structp) {}

/// A reader with its memory.
struct Reader {
  png_structp png;
  png_infop info;
  explicit Reader(Stream& stream)
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &stream, on_error, on_warning)),
        info(png ? png_create_info_struct(png) : nullptr) {
    if (!info) throw std::bad_alloc();
    png_set_read_fn(png, &stream, on_read);
    png_set_user_limits(png, kLongestSide, kLongestSide);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

struct Writer {
  png_structp png;
  png_infop info;
  explicit Writer(Stream& stream)
      : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &stream, on_error, on_warning)),
        info(png ? png_create_info_struct(png) : nullptr) {
    if (!info) throw std::bad_alloc();
    png_set_write_fn(png, &stream, on_write, on_flush);
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
};

/// Reads what stands before the pixels. False with the stream's message set if that fails.
bool begin(const Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_read_info(reader.png, reader.info);
  return true;
}

/// Reads all rows as red, green and blue of 8 bits. False as above.
bool read_rows(const Reader& reader, uint8_t** rows, size_t row_bytes) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_expand(reader.png);
  png_set_strip_16(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes) png_error(reader.png, "odd rows");
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

/// Why the rows of a file of so many bytes cannot be whole; empty if they can.
std::string size_problem(const Reader& reader, size_t bytes) {
  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  const int64_t bits = width * height * png_get_bit_depth(reader.png, reader.info) *
                       png_get_channels(reader.png, reader.info);
  if (width * height > kMostPixels) {
    return fmt::format("{} x {} pixels are too many", width, height);
  }
  if (bits / 8 / kMostUnpacked <= static_cast<int64_t>(bytes)) return {};
  return fmt::format("it ends early: {} bytes for {} x {} pixels", bytes, width, height);
}

/// Where the rows of a picture begin. libpng wants pointers to what it may change.
std::vector<uint8_t*> rows_of(std::vector<uint8_t>& pixels, int64_t height, int64_t width) {
  std::vector<uint8_t*> rows;
  for (int64_t y = 0; y < height; ++y) rows.push_back(pixels.data() + y * width * 3);
  return rows;
}

bool write_all(const Writer& writer, const Picture& picture, uint8_t** rows) {
  if (setjmp(png_jmpbuf(writer.png)) != 0) return false;
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_rows(writer.png, writer.info, rows);
  png_write_png(writer.png, writer.info, PNG_TRANSFORM_IDENTITY, nullptr);
  return true;
}

}  // namespace

Picture decode_png(std::span<const uint8_t> bytes, const std::string& path) {
  Stream stream{bytes};
  const Reader reader(stream);
  const auto fail = [&](std::string_view why) {
    throw DataError("'{}' is no sound PNG: {}", path, why);
  };
  if (!begin(reader)) fail(stream.message.data());
  if (const std::string problem = size_problem(reader, bytes.size()); !problem.empty()) {
    fail(problem);
  }
  Picture picture;
  picture.height = png_get_image_height(reader.png, reader.info);
  picture.width = png_get_image_width(reader.png, reader.info);
  const auto row_bytes = static_cast<size_t>(picture.width * 3);
  picture.pixels.resize(static_cast<size_t>(picture.height) * row_bytes);
  std::vector<uint8_t*> rows = rows_of(picture.pixels, picture.height, picture.width);
  if (!read_rows(reader, rows.data(), row_bytes)) fail(stream.message.data());
  return picture;
}

Box png_box(std::span<const uint8_t> bytes, const std::string& path) {
  // Signature, length and name of the first chunk, then width and height, the highest byte first.
  constexpr size_t kWidthAt = 16, kHeightAt = 20, kEnd = 24;
  const auto number = [&](size_t at) { return png_get_uint_32(bytes.data() + at); };
  if (bytes.size() < kEnd) throw DataError("'{}' is no sound PNG: it ends early", path);
  const png_uint_32 width = number(kWidthAt), height = number(kHeightAt);
  if (width - 1 >= kMostPixels || height - 1 >= kMostPixels) {
    throw DataError("'{}' is no sound PNG: it says it has {} x {} pixels", path, width, height);
  }
  return {0, 0, height, width};
}

std::vector<uint8_t> encode_png(const Picture& picture) {
  SSA_CHECK(picture.height > 0 && picture.width > 0 &&
                static_cast<int64_t>(picture.pixels.size()) == picture.height * picture.width * 3,
            "png: {} bytes for {} x {} pixels", picture.pixels.size(), picture.width,
            picture.height);
  Stream stream;
  std::vector<uint8_t> pixels = picture.pixels;
  std::vector<uint8_t*> rows = rows_of(pixels, picture.height, picture.width);
  const Writer writer(stream);
  if (!write_all(writer, picture, rows.data())) {
    throw DataError("a picture of {} x {} pixels cannot be written as PNG: {}", picture.width,
                    picture.height, stream.message.data());
  }
  return std::move(stream.out);
}

}  // namespace ssa
