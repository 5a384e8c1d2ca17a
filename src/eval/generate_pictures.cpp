#include "ssa/eval/generate_pictures.h"

#include <algorithm>

#include "ssa/core/allocator.h"
#include "ssa/core/error.h"
#include "ssa/models/decoder_plans.h"

#include "eval/reading.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = 3;

/// Reads pictures side by side, once for each sub-model, and predicts their next sub-pixels.
class NextSubPixels {
 public:
  NextSubPixels(const ImageDecoder& model, const std::vector<PlanSpec>& specs,
                const PictureOptions& options, int64_t pictures, Device device)
      : model_(model),
        pictures_(pictures),
        sub_models_(options.samples),
        cache_(model.make_cache(pictures_ * sub_models_)) {
    const RngKey key{.seed = options.plan_seed, .purpose = RngPurpose::ensemble};
    cache_.start(reading_plans(specs, key, sub_models_, device));
    scores_ = on_host(model_.read_start(cache_));
  }
  /// The next sub-pixels of every picture, equally many, picture by picture.
  void read(const std::vector<int32_t>& values) {
    const int64_t count = std::ssize(values) / pictures_;
    std::vector<int32_t> all;  // sub-model by sub-model, so that those of a plan are successive
    for (int64_t r = 0; r < sub_models_; ++r) all.insert(all.end(), values.begin(), values.end());
    scores_ = on_host(model_.read(all, count, cache_));
  }
  /// Scores (256) of the next sub-pixel of a picture.
  std::vector<double> scores(int64_t picture) const {
    if (sub_models_ > 1) return mean_prediction(scores_, kPixelValues, picture, pictures_);
    const auto row = scores_.begin() + picture * kPixelValues;
    return {row, row + kPixelValues};
  }

 private:
  std::vector<double> on_host(const Tensor& scores) const {
    return finite_scores(scores, fmt::format("sub-pixel {} of the pictures", cache_.length() - 1));
  }

  const ImageDecoder& model_;
  int64_t pictures_, sub_models_;
  DecoderCache cache_;
  std::vector<double> scores_;  // (sub-models · pictures, 256)
};

/// Reads the given beginning of `pictures` pictures, a part at a time.
void read_given(const PictureOptions& options, int64_t pictures, NextSubPixels& next) {
  const auto given = static_cast<int64_t>(options.given.size());
  const int64_t at_a_time = std::max<int64_t>(1, kRowsAtATime / (pictures * options.samples));
  for (int64_t at = 0; at < given; at += at_a_time) {
    const auto first = options.given.begin() + at;
    const auto end = options.given.begin() + std::min(given, at + at_a_time);
    std::vector<int32_t> values;
    for (int64_t i = 0; i < pictures; ++i) values.insert(values.end(), first, end);
    next.read(values);
  }
}

/// Draws the next sub-pixel of pictures first … first+pictures-1.
std::vector<int32_t> pick(const NextSubPixels& next, const PictureOptions& options, int64_t first,
                          int64_t pictures, int64_t place) {
  std::vector<int32_t> values;
  for (int64_t i = 0; i < pictures; ++i) {
    const RngKey key{.seed = options.sampling.seed,
                     .purpose = RngPurpose::generate,
                     .step = static_cast<uint32_t>(first + i)};
    values.push_back(
        pick_token(next.scores(i), options.sampling, key.word(static_cast<uint64_t>(place))));
  }
  return values;
}

}  // namespace

int64_t pictures_at_a_time(const ImageDecoder& model, const PictureOptions& options, int64_t free) {
  return side_by_side(model.cache_bytes(options.samples), free, options.count, "picture",
                      options.samples);
}

int64_t pictures_at_a_time(const ImageDecoder& model, const PictureOptions& options,
                           Device device) {
  return pictures_at_a_time(model, options, free_on(device));
}

std::vector<Picture> generate_pictures(const ImageDecoder& model, int64_t layers, int64_t side,
                                       const PictureOptions& options, Device device,
                                       const std::function<bool(int64_t)>& emit) {
  const int64_t length = side * side * kChannels;
  const auto given = static_cast<int64_t>(options.given.size());
  SSA_CHECK(options.count > 0 && given < length, "pictures: {} pictures, {} of {} sub-pixels given",
            options.count, given, length);
  SSA_CHECK(options.samples > 0 && (options.samples == 1 || !options.specs.empty()),
            "pictures: {} sub-models, {} plan specs", options.samples, options.specs.size());
  Picture beginning{side, side, std::vector<uint8_t>(static_cast<size_t>(length), 0)};
  std::ranges::copy(options.given, beginning.pixels.begin());
  std::vector<Picture> pictures(static_cast<size_t>(options.count), beginning);
  const std::vector<PlanSpec> specs =
      options.specs.empty() ? dense_plan_specs(layers, length) : options.specs;
  const int64_t at_a_time =
      options.at_a_time > 0 ? options.at_a_time : pictures_at_a_time(model, options, device);
  for (int64_t first = 0; first < options.count; first += at_a_time) {
    const int64_t some = std::min(at_a_time, options.count - first);
    // The caches of fewer pictures have another size: those before would be kept beside them.
    if (first > 0 && some < at_a_time) allocator(device).trim();
    NextSubPixels next(model, specs, options, some, device);
    read_given(options, some, next);
    for (int64_t place = given; place < length; ++place) {
      const std::vector<int32_t> values = pick(next, options, first, some, place);
      for (int64_t i = 0; i < some; ++i) {
        pictures[static_cast<size_t>(first + i)].pixels[static_cast<size_t>(place)] =
            static_cast<uint8_t>(values[static_cast<size_t>(i)]);
      }
      if (emit && !emit(some)) return pictures;
      if (place + 1 < length) next.read(values);
    }
  }
  return pictures;
}

Picture contact_sheet(const std::vector<Picture>& pictures, int64_t columns) {
  SSA_CHECK(!pictures.empty() && columns > 0, "contact sheet: {} pictures in {} columns",
            pictures.size(), columns);
  const int64_t height = pictures.front().height, width = pictures.front().width;
  const auto count = static_cast<int64_t>(pictures.size());
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  Picture sheet{rows * (height + 1) - 1, columns * (width + 1) - 1, {}};
  sheet.pixels.assign(static_cast<size_t>(sheet.height * sheet.width * kChannels), 0);
  for (int64_t i = 0; i < count; ++i) {
    const Picture& picture = pictures[static_cast<size_t>(i)];
    SSA_CHECK(picture.height == height && picture.width == width,
              "contact sheet: a picture of {} x {} among those of {} x {}", picture.width,
              picture.height, width, height);
    for (int64_t y = 0; y < height; ++y) {
      const int64_t row = i / columns * (height + 1) + y, column = i % columns * (width + 1);
      std::copy_n(picture.pixels.begin() + y * width * kChannels, width * kChannels,
                  sheet.pixels.begin() + (row * sheet.width + column) * kChannels);
    }
  }
  return sheet;
}

}  // namespace ssa
