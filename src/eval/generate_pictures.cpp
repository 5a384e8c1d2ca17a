#include "ssa/eval/generate_pictures.h"

#include <algorithm>

#include "ssa/models/decoder_plans.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = 3;

/// Dense plans, one for all pictures in each layer.
ReadingPlans dense_reading_plans(int64_t layers, int64_t length, Device device) {
  ReadingPlans plans;
  for (const SourcePlan& plan : draw_plans(dense_plan_specs(layers, length), RngKey{})) {
    plans.emplace_back().emplace_back(plan, device);
  }
  return plans;
}

std::vector<double> row_of(const std::vector<float>& scores, size_t picture) {
  const auto first = scores.begin() + static_cast<std::ptrdiff_t>(picture * kPixelValues);
  return {first, first + kPixelValues};
}

std::vector<float> on_host(const Tensor& scores) {
  const Tensor host = scores.to(Device::cpu);
  std::vector<float> values;
  for (int64_t i = 0; i < host.numel(); ++i) {
    values.push_back(host.dtype() == DType::f64 ? static_cast<float>(host.data<double>()[i])
                                                : host.data<float>()[i]);
  }
  return values;
}

/// The next sub-pixel of every picture.
std::vector<int32_t> pick(const Tensor& scores, const PictureOptions& options, int64_t place) {
  const std::vector<float> all = on_host(scores);
  std::vector<int32_t> values;
  for (int64_t picture = 0; picture < options.count; ++picture) {
    const RngKey key{.seed = options.sampling.seed,
                     .purpose = RngPurpose::generate,
                     .step = static_cast<uint32_t>(picture)};
    values.push_back(pick_token(row_of(all, static_cast<size_t>(picture)), options.sampling,
                                key.word(static_cast<uint64_t>(place))));
  }
  return values;
}

}  // namespace

std::vector<Picture> generate_pictures(const ImageDecoder& model, int64_t layers, int64_t side,
                                       const PictureOptions& options, Device device,
                                       const std::function<bool(int64_t)>& emit) {
  const int64_t length = side * side * kChannels;
  const auto given = static_cast<int64_t>(options.given.size());
  SSA_CHECK(options.count > 0 && given < length, "pictures: {} pictures, {} of {} sub-pixels given",
            options.count, given, length);
  std::vector<Picture> pictures(
      static_cast<size_t>(options.count),
      Picture{side, side, std::vector<uint8_t>(static_cast<size_t>(length), 0)});
  DecoderCache cache = model.make_cache(options.count);
  cache.start(dense_reading_plans(layers, length, device));
  Tensor scores = model.read_start(cache);
  if (given > 0) {
    std::vector<int32_t> values;
    for (Picture& picture : pictures) {
      std::ranges::copy(options.given, picture.pixels.begin());
      values.insert(values.end(), options.given.begin(), options.given.end());
    }
    scores = model.read(values, given, cache);
  }
  for (int64_t place = given; place < length; ++place) {
    const std::vector<int32_t> values = pick(scores, options, place);
    for (size_t i = 0; i < pictures.size(); ++i) {
      pictures[i].pixels[static_cast<size_t>(place)] = static_cast<uint8_t>(values[i]);
    }
    if (emit && !emit(place + 1)) break;
    if (place + 1 < length) scores = model.read(values, 1, cache);
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
