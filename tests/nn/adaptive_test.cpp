// Adaptive input and softmax: three bands of a small vocabulary, of odd sizes.

#include "ssa/nn/adaptive.h"

#include <cmath>

#include "support/gradient_check.h"

namespace ssa {
namespace {

using testing::i32;
using testing::random_f64;
using testing::values;

constexpr int64_t kVocabulary = 23, kWidth = 8;

std::vector<nn::Band> bands() { return nn::vocabulary_bands(kVocabulary, {5, 12}, kWidth, 2); }

struct Tied {
  bool weights, projections;
};

/// Input and output in f64, with every parameter moved away from its initial value.
struct Layers {
  explicit Layers(const Tied& tied, double dropout = 0)
      : store(Device::reference, DType::f64, 1),
        input(store, "embedding", bands(), kWidth),
        output(store, "output", input, kWidth, {tied.weights, tied.projections, dropout}) {
    for (size_t i = 0; i < store.all().size(); ++i) {
      Tensor value = store.all()[i].variable.value();
      const auto stream = static_cast<uint32_t>(300 + i);
      backend(value.device()).add(value, random_f64(value.shape(), stream, -0.5, 0.5), value);
    }
  }
  std::vector<testing::NamedLeaf> leaves() const {
    std::vector<testing::NamedLeaf> result;
    for (const Parameter& parameter : store.all()) {
      result.push_back({parameter.name, parameter.variable});
    }
    return result;
  }
  ParameterStore store;
  nn::AdaptiveInput input;
  nn::AdaptiveSoftmax output;
};

/// Every band, its first and last words, ignored ones.
const std::vector<int32_t> kMixed = {0, 22, 4, 5, -1, 11, 12, 5, 17, 22, -1, 3, 3};
/// No word of the second and third band.
const std::vector<int32_t> kFrequent = {0, 4, -1, 2, 2, 4, 1, 3, 0, 0, 1, 2, 4};
/// No word of the first and second band.
const std::vector<int32_t> kRare = {12, 13, -1, 22, 14, 14, 22, 12, 13, 20, 21, 15, 16};

std::vector<int32_t> inputs_like(std::vector<int32_t> targets) {
  for (int32_t& id : targets) id = id < 0 ? 9 : id;
  return targets;
}

const nn::Context kTraining{true, {.seed = 4, .step = 9}};

TEST_CASE("adaptive: bands of a vocabulary", "[nn]") {
  const auto full = nn::vocabulary_bands(267735, {20000, 60000}, 1024, 4);
  REQUIRE(full.size() == 3);
  CHECK((full[0].first == 0 && full[0].size == 20000 && full[0].width == 1024));
  CHECK((full[1].first == 20000 && full[1].size == 40000 && full[1].width == 256));
  CHECK((full[2].first == 60000 && full[2].size == 207735 && full[2].width == 64));
  CHECK(nn::vocabulary_bands(7, {}, 10, 3).size() == 1);
  CHECK(nn::vocabulary_bands(7, {3}, 10, 3)[1].width == 3);
  const auto refused = [](const std::vector<int64_t>& cutoffs, int64_t width) {
    return testing::message_of<ConfigError>(
        [&] { nn::vocabulary_bands(kVocabulary, cutoffs, width, 4); });
  };
  for (const std::vector<int64_t>& cutoffs :
       {std::vector<int64_t>{0}, {5, 5}, {6, 5}, {23}, {5, 24}}) {
    CHECK_THAT(refused(cutoffs, 64), Catch::Contains("model.embedding.cutoffs"));
  }
  CHECK_THAT(refused({5, 12}, 8), Catch::Contains("model.embedding.factor"));
}

TEST_CASE("adaptive: parameters by name", "[nn]") {
  using Names = std::vector<std::string>;
  const auto names = [](const Tied& tied) {
    Names result;
    const Layers layers(tied);
    for (const Parameter& parameter : layers.store.all()) {
      result.push_back(parameter.name + " " + to_string(parameter.shape));
    }
    return result;
  };
  Names expected = {
      "embedding.bands.0.weight (5, 8)",  "embedding.bands.0.projection.weight (8, 8)",
      "embedding.bands.1.weight (7, 4)",  "embedding.bands.1.projection.weight (8, 4)",
      "embedding.bands.2.weight (11, 2)", "embedding.bands.2.projection.weight (8, 2)",
      "output.classes.weight (2, 8)"};
  CHECK(names({true, true}) == expected);
  expected.push_back("output.bands.1.projection.weight (4, 8)");
  expected.push_back("output.bands.2.projection.weight (2, 8)");
  CHECK(names({true, false}) == expected);
  expected.resize(6);
  for (const char* own :
       {"output.bands.0.weight (5, 8)", "output.classes.weight (2, 8)",
        "output.bands.1.weight (7, 4)", "output.bands.1.projection.weight (4, 8)",
        "output.bands.2.weight (11, 2)", "output.bands.2.projection.weight (2, 8)"}) {
    expected.push_back(own);
  }
  CHECK(names({false, false}) == expected);
}

TEST_CASE("adaptive: initial values as in fairseq", "[nn]") {
  ParameterStore store(Device::reference, DType::f32, 1);
  const nn::AdaptiveInput input(store, "in", nn::vocabulary_bands(3000, {1000, 2000}, 64, 4), 64);
  const nn::AdaptiveSoftmax output(store, "out", input, 64, {});
  const auto mean_square = [&](size_t parameter) {
    double squares = 0;
    const std::vector<double> all = values(store.all()[parameter].variable.value());
    for (const double x : all) squares += x * x;
    return squares / static_cast<double>(all.size());
  };
  CHECK(mean_square(0) == Approx(1.0 / 64).epsilon(0.05));
  CHECK(mean_square(2) == Approx(1.0 / 16).epsilon(0.05));
  CHECK(mean_square(4) == Approx(1.0 / 4).epsilon(0.1));
  CHECK(mean_square(1) == Approx(2.0 / (64 + 64)).epsilon(0.1));  // a²/3, a = √(6/(in + out))
  CHECK(mean_square(3) == Approx(2.0 / (64 + 16)).epsilon(0.15));
  CHECK(store.all()[6].name == "out.classes.weight");
  CHECK(mean_square(6) == Approx(2.0 / (64 + 2)).epsilon(0.3));
}

TEST_CASE("adaptive input: rows are projected embeddings, scaled", "[nn]") {
  const Layers layers({true, true});
  const std::vector<int32_t> ids = inputs_like(kMixed);
  const std::vector<double> out = values(layers.input(i32(ids), 3.0, DType::f64).value());
  for (size_t r = 0; r < ids.size(); ++r) {
    const size_t band = ids[r] < 5 ? 0 : ids[r] < 12 ? 1 : 2;
    const nn::Band words = bands()[band];
    const auto width = static_cast<size_t>(words.width);
    const auto word = static_cast<size_t>(ids[r] - words.first);
    const std::vector<double> table = values(layers.store.all()[2 * band].variable.value());
    const std::vector<double> projection =
        values(layers.store.all()[2 * band + 1].variable.value());
    for (size_t k = 0; k < kWidth; ++k) {
      double expected = 0;
      for (size_t j = 0; j < width; ++j) {
        expected += 3.0 * table[word * width + j] * projection[k * width + j];
      }
      REQUIRE(out[r * kWidth + k] == Approx(expected).epsilon(1e-12).margin(1e-14));
    }
  }
}

TEST_CASE("adaptive input: gradients", "[nn]") {
  const std::vector<int32_t> tokens = GENERATE(kMixed, kFrequent, kRare);
  const Layers layers({true, true});
  auto leaves = layers.leaves();
  leaves.resize(6);  // the input's
  testing::check_gradients("input", leaves,
                           [&] { return layers.input(i32(inputs_like(tokens)), 1.7, DType::f64); });
}

TEST_CASE("adaptive softmax: gradients, tied or not", "[nn]") {
  const Tied tied =
      GENERATE(Tied{true, true}, Tied{true, false}, Tied{false, true}, Tied{false, false});
  const std::vector<int32_t> tokens = GENERATE(kMixed, kFrequent, kRare);
  CAPTURE(tied.weights, tied.projections);
  const Layers layers(tied, 0.3);
  testing::check_gradients("output", layers.leaves(), [&] {
    const Variable x = layers.input(i32(inputs_like(tokens)), 1.7, DType::f64);
    return layers.output.losses(x, i32(tokens), kTraining, 5);
  });
}

TEST_CASE("adaptive softmax: gradients of more rows than a unit of them", "[nn]") {
  std::vector<int32_t> tokens;  // 100 in the last band, padded to 128
  for (int32_t r = 0; r < 150; ++r) tokens.push_back(r % 3 == 0 ? r % 12 : 12 + r % 11);
  const Layers layers({true, true}, 0.3);
  testing::check_gradients("output", layers.leaves(),
                           [&] {
                             const Variable x = layers.input(i32(tokens), 0.6, DType::f64);
                             return layers.output.losses(x, i32(tokens), kTraining, 5);
                           },
                           {.tolerance = 1e-7, .max_elements = 12});
}

TEST_CASE("adaptive softmax: probabilities of all words sum to one", "[nn]") {
  const Tied tied = GENERATE(Tied{true, true}, Tied{false, false});
  const Layers layers(tied);
  const std::vector<double> log =
      values(layers.output.log_probabilities(random_f64({3, kWidth}, 1, -2, 2)));
  REQUIRE(log.size() == 3 * kVocabulary);
  for (size_t r = 0; r < 3; ++r) {
    double total = 0;
    for (size_t word = 0; word < kVocabulary; ++word)
      total += std::exp(log[r * kVocabulary + word]);
    CHECK(total == Approx(1.0).epsilon(1e-12));
  }
}

TEST_CASE("adaptive softmax: the loss of each word is minus its log-probability", "[nn]") {
  const Tied tied = GENERATE(Tied{true, true}, Tied{false, false});
  const Layers layers(tied, 0.3);  // no dropout outside training
  const Tensor x = random_f64({1, kWidth}, 1, -2, 2);
  const std::vector<double> log = values(layers.output.log_probabilities(x));
  for (int32_t word = 0; word < kVocabulary; ++word) {
    const Variable loss = layers.output.losses(Variable(x), i32({word}), {}, 5);
    CHECK(values(loss.value()).front() == Approx(-log[static_cast<size_t>(word)]).epsilon(1e-12));
  }
  CHECK(values(layers.output.losses(Variable(x), i32({-1}), {}, 5).value()).front() == 0.0);
}

TEST_CASE("adaptive softmax: the head's classes come after its words, in order", "[nn]") {
  const Layers layers({true, true});
  const Tensor x = random_f64({1, kWidth}, 1, -2, 2);
  const std::vector<double> in = values(x);
  std::vector<double> logits;  // five words, two classes
  for (const size_t parameter : {size_t{0}, size_t{6}}) {
    const std::vector<double> rows = values(layers.store.all()[parameter].variable.value());
    for (size_t row = 0; row < rows.size() / kWidth; ++row) {
      double total = 0;
      for (size_t k = 0; k < kWidth; ++k) total += rows[row * kWidth + k] * in[k];
      logits.push_back(total);
    }
  }
  double total = 0;
  for (const double logit : logits) total += std::exp(logit);
  const std::vector<double> log = values(layers.output.log_probabilities(x));
  double of_band[2] = {0, 0};
  for (size_t word = 5; word < kVocabulary; ++word)
    of_band[word < 12 ? 0 : 1] += std::exp(log[word]);
  CHECK(log[3] == Approx(logits[3] - std::log(total)).epsilon(1e-12));
  CHECK(of_band[0] == Approx(std::exp(logits[5]) / total).epsilon(1e-12));
  CHECK(of_band[1] == Approx(std::exp(logits[6]) / total).epsilon(1e-12));
}

TEST_CASE("adaptive softmax: dropout on the input and on the projections", "[nn]") {
  const auto losses = [](double dropout, const std::vector<int32_t>& targets, uint32_t step) {
    const Layers layers({true, true}, dropout);
    const Variable x(random_f64({13, kWidth}, 1, -2, 2));
    return values(
        layers.output.losses(x, i32(targets), {true, {.seed = 4, .step = step}}, 5).value());
  };
  CHECK(losses(0.3, kFrequent, 1) != losses(0.0, kFrequent, 1));  // the input's: no tail here
  CHECK(losses(0.3, kFrequent, 1) == losses(0.3, kFrequent, 1));
  CHECK(losses(0.3, kFrequent, 1) != losses(0.3, kFrequent, 2));
}

TEST_CASE("adaptive: one band is a plain softmax with a projected embedding", "[nn]") {
  ParameterStore store(Device::reference, DType::f64, 1);
  const nn::AdaptiveInput input(store, "in", nn::vocabulary_bands(9, {}, 4, 4), 4);
  const nn::AdaptiveSoftmax output(store, "out", input, 4, {});
  CHECK(store.all().size() == 2);
  const Variable x(random_f64({3, 4}, 1));
  const Tensor targets = i32({8, -1, 0});
  const Variable plain =
      ops::cross_entropy(ops::linear(x, {store.all().front().variable, Variable()}), targets);
  const std::vector<double> expected = values(plain.value());
  const std::vector<double> got = values(output.losses(x, targets, {}, 0).value());
  for (size_t r = 0; r < 3; ++r) CHECK(got[r] == Approx(expected[r]).epsilon(1e-12));
}

TEST_CASE("adaptive: words outside the vocabulary are refused", "[nn]") {
  using testing::message_of;
  const Layers layers({true, true});
  const Variable x(random_f64({2, kWidth}, 1));
  for (const int32_t word : {-1, 23}) {
    CHECK_THAT(message_of<ShapeError>([&] {
                 layers.input(i32({0, word}), 1, DType::f64);
               }),
               Catch::Contains("embedding: id") && Catch::Contains("0 … 22"));
  }
  for (const int32_t word : {-2, 23}) {
    CHECK_THAT(message_of<ShapeError>([&] {
                 layers.output.losses(x, i32({0, word}), {}, 0);
               }),
               Catch::Contains("target") && Catch::Contains("-1 … 22"));
  }
}

}  // namespace
}  // namespace ssa
