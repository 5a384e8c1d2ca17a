// Pictures drawn by a model or by an ensemble, against the losses of a full pass.

#include "ssa/eval/generate_pictures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <catch2/catch.hpp>

#include "ssa/models/decoder_plans.h"

#include "support/tensors.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kSide = 4, kColumns = 3 * kSide, kLength = kSide * kColumns, kLayers = 2;
constexpr uint64_t kPlanSeed = 5;

ModelConfig tiny_model() {
  ModelConfig model;
  model.layers = kLayers;
  model.width = 8;
  model.heads = 2;
  model.ffn_width = 12;
  model.position = PositionKind::relative_2d;
  return model;
}

/// A dense layer and one of two causal bands.
std::vector<PlanSpec> band_specs() {
  std::vector<PlanSpec> specs = dense_plan_specs(kLayers, kLength);
  PlanSpec& bands = specs.back();
  bands.kind = PlanKind::local_2d;
  bands.rows = kSide;
  bands.columns = kColumns;
  bands.windows = 2;
  bands.sigma = bands.sigma_columns = 0.5;
  return specs;
}

struct TinyPainter {
  TinyPainter()
      : store(Device::reference, DType::f64, 1),
        decoder(tiny_model(), {kSide, kColumns}, {}, store) {
    for (size_t i = 0; i < store.all().size(); ++i) {  // far from uniform predictions
      Tensor value = store.all()[i].variable.value();
      backend(value.device())
          .add(value, random_f64(value.shape(), static_cast<uint32_t>(300 + i), -0.6, 0.6), value);
    }
  }
  std::vector<Picture> draw(const PictureOptions& options) const {
    return generate_pictures(decoder, kLayers, kSide, options, Device::reference);
  }
  /// The probability of each value of sub-pixel `place` behind those before it, averaged over
  /// `samples` sub-models, by a full pass over pictures that only differ there.
  std::vector<double> probabilities(const Picture& picture, int64_t place,
                                    const std::vector<PlanSpec>& specs, int64_t samples) const {
    std::vector<int32_t> ids, inputs;
    for (int64_t value = 0; value < kPixelValues; ++value) {
      std::vector<int32_t> own(picture.pixels.begin(), picture.pixels.end());
      own[static_cast<size_t>(place)] = static_cast<int32_t>(value);
      inputs.push_back(static_cast<int32_t>(kPixelValues + value));
      inputs.insert(inputs.end(), own.begin(), own.end() - 1);
      ids.insert(ids.end(), own.begin(), own.end());
    }
    ModelInput input;
    input.examples = kPixelValues;
    input.fields = {{"ids", i32(ids, {kPixelValues, kLength})},
                    {"inputs", i32(inputs, {kPixelValues, kLength})},
                    {"start", i32(std::vector<int32_t>(kPixelValues, 0))}};
    std::vector<double> mean(kPixelValues, 0.0);
    for (int64_t r = 0; r < samples; ++r) {
      const RngKey key{
          .seed = kPlanSeed, .purpose = RngPurpose::ensemble, .rank = static_cast<uint16_t>(r)};
      input.plans = to_tensors(draw_plans(specs, key), Device::reference);
      const std::vector<double> losses = values(decoder.predictions(input));
      for (size_t value = 0; value < mean.size(); ++value) {
        const double loss = losses[value * kLength + static_cast<size_t>(place)];
        mean[value] += std::exp(-loss) / static_cast<double>(samples);
      }
    }
    return mean;
  }

  ParameterStore store;
  ImageDecoder decoder;
};

}  // namespace

TEST_CASE("pictures: at temperature 0 each sub-pixel is the likeliest of the mean prediction",
          "[eval]") {
  const int64_t samples = GENERATE(0, 1, 3);  // 0: dense
  CAPTURE(samples);
  const TinyPainter painter;
  PictureOptions options{.count = 2, .sampling = {.temperature = 0}, .given = {}};
  options.given = {9, 200, 31};
  if (samples > 0) {
    options.specs = band_specs();
    options.samples = samples;
    options.plan_seed = kPlanSeed;
  }
  const std::vector<PlanSpec> specs =
      samples > 0 ? band_specs() : dense_plan_specs(kLayers, kLength);
  const std::vector<Picture> pictures = painter.draw(options);
  CHECK(pictures[0] == pictures[1]);
  CHECK(std::equal(options.given.begin(), options.given.end(), pictures[0].pixels.begin()));
  for (const int64_t place : {3, 24, 40, 47}) {
    CAPTURE(place);
    const std::vector<double> mean =
        painter.probabilities(pictures[0], place, specs, std::max<int64_t>(1, samples));
    const auto likeliest = std::max_element(mean.begin(), mean.end()) - mean.begin();
    CHECK(pictures[0].pixels[static_cast<size_t>(place)] == likeliest);
  }
}

TEST_CASE("pictures: an ensemble draws the same ones, however many are drawn", "[eval]") {
  const TinyPainter painter;
  PictureOptions options{.count = 3, .sampling = {}, .given = {}};
  options.specs = band_specs();
  options.samples = 2;
  const std::vector<Picture> three = painter.draw(options);
  CHECK_FALSE(three[0] == three[1]);
  options.count = 2;
  CHECK(painter.draw(options) == std::vector<Picture>(three.begin(), three.begin() + 2));
  options.samples = 3;
  CHECK_FALSE(painter.draw(options)[0] == three[0]);
}

TEST_CASE("pictures: a part at a time they are the same ones", "[eval]") {
  const TinyPainter painter;
  PictureOptions options{.count = 5, .sampling = {}, .given = {9, 200, 31}};
  options.specs = band_specs();
  options.samples = GENERATE(1, 2);
  options.at_a_time = 5;
  const std::vector<Picture> all = painter.draw(options);
  options.at_a_time = 2;
  std::vector<int64_t> drawn;
  const std::vector<Picture> in_parts = generate_pictures(painter.decoder, kLayers, kSide, options,
                                                          Device::reference, [&](int64_t more) {
                                                            drawn.push_back(more);
                                                            return true;
                                                          });
  CHECK(in_parts == all);
  CHECK(std::accumulate(drawn.begin(), drawn.end(), int64_t{0}) == 5 * (kLength - 3));
  CHECK(drawn.front() == 2);
  CHECK(drawn.back() == 1);
}

TEST_CASE("pictures: as many are drawn at a time as half of the memory holds", "[eval]") {
  const TinyPainter painter;
  PictureOptions options{.count = 10, .sampling = {}, .given = {}};
  options.samples = 3;
  const int64_t each = 3 * 2 * kLayers * kLength * tiny_model().width * 8;
  CHECK(pictures_at_a_time(painter.decoder, options, 1000 * each) == 10);
  CHECK(pictures_at_a_time(painter.decoder, options, 8 * each) == 4);
  CHECK(pictures_at_a_time(painter.decoder, options, 8 * each - 1) == 3);
  CHECK(pictures_at_a_time(painter.decoder, options, each) == 1);
  CHECK_THAT(
      message_of<OutOfMemoryError>([&] { pictures_at_a_time(painter.decoder, options, each - 1); }),
      Catch::Contains("for 3 sub-models") && Catch::Contains("--samples"));
}

TEST_CASE("pictures: sub-models without plans to draw are refused", "[eval]") {
  const TinyPainter painter;
  PictureOptions options{.count = 1, .sampling = {}, .given = {}};
  options.samples = 2;
  CHECK_THAT(message_of<ShapeError>([&] { painter.draw(options); }),
             Catch::Contains("2 sub-models, 0 plan specs"));
}
