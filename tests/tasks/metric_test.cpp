#include "ssa/tasks/metric.h"

#include <cmath>

#include <catch2/catch.hpp>

using namespace ssa;

TEST_CASE("language models are scored in bits per byte or perplexity") {
  const Metric& bytes = traits_of(TaskKind::byte_lm).metric();
  const Metric& words = traits_of(TaskKind::word_lm).metric();
  CHECK(bytes.key == "bits_per_byte");
  CHECK(bytes.from_loss(std::log(2.0)) == Approx(1.0));
  CHECK(bytes.deviation(1.0, std::log(2.0)) == Approx(1.0));
  CHECK(bytes.text(3.06566) == "3.0657 bits/byte");
  CHECK(words.key == "perplexity");
  CHECK(words.from_loss(std::log(45.0)) == Approx(45.0));
  CHECK(words.deviation(std::log(45.0), 0.01) == Approx(0.45));
  CHECK(words.text(45.206) == "perplexity 45.21");
}

TEST_CASE("every task has a metric that can be quoted, each with a key of its own") {
  for (size_t i = 0; i < choices(TaskKind{}).size(); ++i) {
    const TaskTraits& traits = traits_of(static_cast<TaskKind>(i));
    CAPTURE(choices(TaskKind{})[i]);
    REQUIRE_FALSE(traits.metrics.empty());
    CHECK_FALSE(traits.terms.empty());
    CHECK_FALSE(traits.examples.empty());
    for (const Metric& metric : traits.metrics) {
      CHECK((metric.from_loss == nullptr) == (metric.deviation == nullptr));
      if (!metric.from_loss) continue;
      const double step = 1e-6,
                   slope = (metric.from_loss(1.3 + step) - metric.from_loss(1.3)) / step;
      CHECK(metric.deviation(1.3, 0.01) == Approx(0.01 * slope).epsilon(1e-4));
    }
  }
  const Metric& top1 = traits_of(TaskKind::image_classification).metric();
  CHECK(top1.higher_is_better);
  CHECK(top1.text(81.193) == "top-1 81.19");
}
