// The decoder of pictures: what it looks at, its gradients, reading on from a cache.

#include "ssa/models/image_decoder.h"

#include <catch2/catch.hpp>

#include "ssa/models/decoder_plans.h"

#include "support/gradient_check.h"
#include "support/tensors.h"

namespace ssa {
namespace {

using namespace testing;

constexpr int64_t kRows = 4, kColumns = 12, kLength = kRows * kColumns;  // 4 x 4 pixels
const std::vector<Augmentation> kKinds = {Augmentation::rotation, Augmentation::transposition};

ModelConfig tiny_model() {
  ModelConfig model;
  model.layers = 2;
  model.width = 8;
  model.heads = 2;
  model.ffn_width = 12;
  model.position = PositionKind::relative_2d;
  return model;
}

/// Dense plans, or causal bands of rows.
std::vector<SourcePlan> tiny_plans(bool bands) {
  PlanSpec spec;
  spec.positions = kLength;
  spec.causal = true;
  if (bands) {
    spec.kind = PlanKind::local_2d;
    spec.rows = kRows;
    spec.columns = kColumns;
    spec.windows = 2;
    spec.sigma = spec.sigma_columns = 0.25;
  }
  return draw_plans({spec, spec}, {.seed = 3, .purpose = RngPurpose::plan});
}

struct TinyImages {
  explicit TinyImages(const std::vector<Augmentation>& kinds = kKinds,
                      const ModelConfig& model = tiny_model())
      : store(Device::reference, DType::f64, 1),
        decoder(model, {kRows, kColumns, 3}, kinds, store) {
    for (size_t i = 0; i < store.all().size(); ++i) {
      Tensor value = store.all()[i].variable.value();
      backend(value.device())
          .add(value, random_f64(value.shape(), static_cast<uint32_t>(300 + i), -0.3, 0.3), value);
    }
    for (uint64_t i = 0; i < 2 * kLength; ++i) {
      pixels.push_back(static_cast<int32_t>(RngKey{.seed = 8}.word(i) & 0xff));
    }
  }

  ModelInput input(const std::vector<int32_t>& starts, bool bands = false) const {
    const auto examples = static_cast<int64_t>(starts.size());
    std::vector<int32_t> ids(pixels.begin(), pixels.begin() + examples * kLength), inputs;
    for (int64_t i = 0; i < examples * kLength; ++i) {
      inputs.push_back(i % kLength == 0 ? static_cast<int32_t>(kPixelValues + i / kLength)
                                        : ids[static_cast<size_t>(i - 1)]);
    }
    ModelInput result;
    result.examples = examples;
    result.fields = {{"ids", i32(ids).view({examples, kLength})},
                     {"inputs", i32(inputs).view({examples, kLength})},
                     {"start.rotation", i32(starts)},
                     {"start.transposition", i32(std::vector<int32_t>(starts.size(), 1))},
                     {"start", i32(std::vector<int32_t>(starts.size(), 0))}};
    result.plans = to_tensors(tiny_plans(bands), Device::reference);
    return result;
  }
  std::vector<double> losses(const std::vector<int32_t>& starts, bool bands = false) const {
    return values(decoder.predictions(input(starts, bands)));
  }

  ParameterStore store;
  ImageDecoder decoder;
  std::vector<int32_t> pixels;  // of two pictures
};

}  // namespace

TEST_CASE("image decoder: parameters have the documented names and shapes", "[models]") {
  const TinyImages images;
  std::vector<std::string> names;
  for (const Parameter& parameter : images.store.all()) names.push_back(parameter.name);
  CHECK(names[0] == "embedding.weight");
  CHECK(names[1] == "start.rotation.weight");
  CHECK(names[2] == "start.transposition.weight");
  CHECK(names.back() == "final_norm.bias");
  CHECK(images.store.all()[1].shape == Shape{4, 8});
  CHECK(TinyImages(std::vector<Augmentation>{}).store.all()[1].name == "start.weight");
}

TEST_CASE("image decoder: a sub-pixel is seen by later slots only", "[models]") {
  const bool bands = GENERATE(false, true);
  TinyImages images;
  const std::vector<double> before = images.losses({0}, bands);
  constexpr size_t kChanged = 17;
  images.pixels[kChanged] ^= 0x55;
  const std::vector<double> after = images.losses({0}, bands);
  for (size_t slot = 0; slot < kChanged; ++slot) CHECK(after[slot] == before[slot]);
  CHECK(after[kChanged] != before[kChanged]);          // its own value
  CHECK(after[kChanged + 1] != before[kChanged + 1]);  // what follows it reads it
}

TEST_CASE("image decoder: the start vector tells the augmentation of each picture", "[models]") {
  const TinyImages images;
  const std::vector<double> both = images.losses({0, 3});
  const std::vector<double> first = images.losses({0}), turned = images.losses({3});
  CHECK(std::vector(both.begin(), both.begin() + kLength) == first);
  CHECK(first != turned);
}

TEST_CASE("image decoder: every gradient against finite differences", "[models]") {
  const bool bands = GENERATE(false, true);
  ModelConfig model = tiny_model();
  model.relative_rows = bands ? RelativeRows::causal : RelativeRows::all;
  model.relative_columns = GENERATE(RelativeColumns::sub_pixels, RelativeColumns::pixels,
                                    RelativeColumns::pixels_and_channels);
  model.relative_shared = bands;
  const TinyImages images(kKinds, model);
  const ModelInput input = images.input({2, 1}, bands);
  std::vector<NamedLeaf> leaves;
  for (const Parameter& parameter : images.store.all()) {
    leaves.push_back({parameter.name, parameter.variable});
  }
  check_gradients(bands ? "bands" : "dense", leaves,
                  [&] { return images.decoder.losses(input, {}); },
                  {.step = 1e-5, .tolerance = 5e-8, .max_elements = 16});
}

TEST_CASE("image decoder: read in parts, each next sub-pixel is scored as in one pass",
          "[models]") {
  ModelConfig model = tiny_model();
  model.relative_rows = GENERATE(RelativeRows::all, RelativeRows::causal);
  model.relative_columns =
      GENERATE(RelativeColumns::sub_pixels, RelativeColumns::pixels_and_channels);
  const TinyImages images(std::vector<Augmentation>{}, model);
  const std::vector<double> expected = images.losses({0, 0});
  DecoderCache cache = images.decoder.make_cache(2);
  ReadingPlans plans;
  for (const SourcePlan& plan : tiny_plans(false)) {
    plans.emplace_back().emplace_back(plan, Device::reference);
  }
  cache.start(std::move(plans));
  Tensor scores = images.decoder.read_start(cache);
  int64_t read = 0;
  for (const int64_t count : {int64_t{1}, int64_t{20}, int64_t{1}, kLength - 23}) {
    for (int64_t picture = 0; picture < 2; ++picture) {
      const Tensor row = scores.slice(0, picture, 1);
      const auto place = static_cast<size_t>(picture * kLength + read);
      const Tensor target = i32({images.pixels[place]});
      const double loss = values(ops::cross_entropy(Variable(row), target).value()).front();
      CHECK(loss == Approx(expected[place]).epsilon(1e-12));
    }
    std::vector<int32_t> next;
    for (int64_t picture = 0; picture < 2; ++picture) {
      const auto from = images.pixels.begin() + picture * kLength + read;
      next.insert(next.end(), from, from + count);
    }
    scores = images.decoder.read(next, count, cache);
    read += count;
  }
}

/// A table without its entries for sources below the target.
Tensor causal_part(const Tensor& table) {
  const int64_t first = (kRows - 1) * (table.dim(0) / (2 * kRows - 1));
  return table.slice(0, first, table.dim(0) - first);
}

TEST_CASE("image decoder: a causal table predicts as the whole one with the same entries",
          "[models]") {
  const bool bands = GENERATE(false, true);
  ModelConfig model = tiny_model();
  model.relative_columns = GENERATE(RelativeColumns::sub_pixels, RelativeColumns::pixels,
                                    RelativeColumns::pixels_and_channels);
  const TinyImages whole(kKinds, model);
  model.relative_rows = RelativeRows::causal;
  const TinyImages causal(kKinds, model);
  REQUIRE(causal.store.all().size() == whole.store.all().size());
  for (size_t i = 0; i < whole.store.all().size(); ++i) {
    const bool table = whole.store.all()[i].name.ends_with("relative_bias");
    const Tensor from = whole.store.all()[i].variable.value();
    Tensor to = causal.store.all()[i].variable.value();
    backend(Device::reference).copy(table ? causal_part(from) : from, to);
  }
  CHECK(causal.losses({0, 3}, bands) == whole.losses({0, 3}, bands));
}

TEST_CASE("image decoder: the readings of the 2-D bias have the sizes of the method", "[models]") {
  const auto millions = [](RelativeColumns columns, RelativeRows rows, bool shared) {
    ModelConfig model;
    model.position = PositionKind::relative_2d;
    model.relative_columns = columns;
    model.relative_rows = rows;
    model.relative_shared = shared;
    ParameterStore store = ParameterStore::dry();
    const ImageDecoder decoder(model, {32, 96, 3}, kKinds, store);
    return static_cast<double>(store.count()) * 1e-6;
  };
  using enum RelativeColumns;
  const double sub_pixel = millions(sub_pixels, RelativeRows::all, false);
  CHECK(sub_pixel == Approx(203.35).margin(0.005));
  const auto more = [&](double entries) { return sub_pixel + 16 * 8 * (entries - 12033) * 1e-6; };
  CHECK(millions(pixels, RelativeRows::all, false) == Approx(more(3969)).epsilon(1e-9));
  CHECK(millions(pixels_and_channels, RelativeRows::all, false) ==
        Approx(more(19845)).epsilon(1e-9));
  CHECK(millions(pixels, RelativeRows::causal, false) == Approx(more(32 * 63)).epsilon(1e-9));
  CHECK(millions(pixels_and_channels, RelativeRows::causal, false) ==
        Approx(more(32 * 63 * 5)).epsilon(1e-9));
  CHECK(millions(pixels, RelativeRows::all, true) == Approx(more(3969.0 / 16)).epsilon(1e-9));
}

TEST_CASE("image decoder: a table of pixels takes the channels of a pixel alike", "[models]") {
  // A table that tells channels apart, with the same entries for all channels, predicts the same.
  ModelConfig model = tiny_model();
  model.relative_columns = RelativeColumns::pixels;
  const TinyImages blind(kKinds, model);
  model.relative_columns = RelativeColumns::pixels_and_channels;
  const TinyImages told(kKinds, model);
  for (size_t i = 0; i < blind.store.all().size(); ++i) {
    const Tensor from = blind.store.all()[i].variable.value();
    Tensor to = told.store.all()[i].variable.value();
    const int64_t copies = to.dim(0) / from.dim(0);
    REQUIRE(copies == (blind.store.all()[i].name.ends_with("relative_bias") ? 5 : 1));
    for (int64_t row = 0; row < to.dim(0); ++row) {
      Tensor one = to.slice(0, row, 1);
      backend(Device::reference).copy(from.slice(0, row / copies, 1), one);
    }
  }
  CHECK(told.losses({0, 3}) == blind.losses({0, 3}));
  CHECK(told.losses({0, 3}, true) == blind.losses({0, 3}, true));
}

TEST_CASE("image decoder: all layers can share one table", "[models]") {
  ModelConfig model = tiny_model();
  model.relative_shared = true;
  const TinyImages images(kKinds, model);
  std::vector<std::string> tables;
  for (const Parameter& parameter : images.store.all()) {
    if (parameter.name.ends_with("relative_bias")) tables.push_back(parameter.name);
  }
  CHECK(tables == std::vector<std::string>{"relative_bias"});
}

TEST_CASE("decoder: learned 2-D positions go with pictures only", "[models]") {
  ParameterStore store(Device::reference, DType::f64, 1);
  ModelConfig model = tiny_model();
  CHECK_THROWS_AS(Decoder(model, PositionShape{}, store), ConfigError);
  model.position = PositionKind::alibi;
  CHECK_THROWS_AS(ImageDecoder(model, {kRows, kColumns}, kKinds, store), ConfigError);
}

}  // namespace ssa
