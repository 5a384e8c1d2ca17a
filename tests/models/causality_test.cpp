// No logit may depend on a later token, not even by rounding, for any attention pattern.

#include "models/tiny_decoder.h"

namespace ssa {
namespace {

using namespace testing;

using Rows = std::vector<std::vector<double>>;

Rows logits(const TinyDecoder& tiny, const std::vector<PlanTensors>& plans) {
  const NoGrad guard;
  const std::vector<double> flat = values(tiny.decoder.logits(tiny.input(plans), {}).value());
  Rows rows;
  for (auto at = flat.begin(); at != flat.end(); at += kTinyVocabulary) {
    rows.emplace_back(at, at + kTinyVocabulary);
  }
  return rows;
}

TEST_CASE("causality: changing a token changes no logits before it", "[models]") {
  const SsaKind kind = GENERATE(SsaKind::none, SsaKind::local, SsaKind::unbiased);
  const uint32_t draw = GENERATE(0u, 1u, 2u);
  CAPTURE(static_cast<int>(kind), draw);
  TinyDecoder tiny;
  tiny.disturb();
  const std::vector<PlanTensors> plans = tiny_plans(kind, draw);
  const Rows before = logits(tiny, plans);
  REQUIRE(before.size() == kTinyBatch * kTinyLength);
  size_t changed_later = 0;
  for (int64_t t = 0; t < kTinyLength; ++t) {
    CAPTURE(t);
    // The token is in the second sequence, so nothing in the first may change.
    const auto row = static_cast<size_t>(kTinyLength + t);
    int32_t& token = tiny.ids.data<int32_t>()[row];
    token = (token + 1) % static_cast<int32_t>(kTinyVocabulary);
    const Rows after = logits(tiny, plans);
    token =
        (token + static_cast<int32_t>(kTinyVocabulary) - 1) % static_cast<int32_t>(kTinyVocabulary);
    for (size_t other = 0; other < row; ++other) {
      CAPTURE(other);
      CHECK(after[other] == before[other]);
    }
    CHECK(after[row] != before[row]);
    for (size_t other = row + 1; other < before.size(); ++other) {
      changed_later += after[other] != before[other] ? 1 : 0;
    }
  }
  // Attention does carry something: 28 pairs in a dense model, fewer where sources are dropped.
  CHECK(changed_later <= 28);
  CHECK(changed_later >= (kind == SsaKind::none ? 28 : 4));
}

TEST_CASE("causality: every draw of a local plan keeps the future out", "[models]") {
  // One draw of the plans may miss a leak, so this tests many draws of both layers.
  TinyDecoder tiny;
  tiny.disturb();
  for (uint32_t draw = 0; draw < 20; ++draw) {
    CAPTURE(draw);
    const std::vector<PlanTensors> plans = tiny_plans(SsaKind::local, 100 + draw);
    const Rows before = logits(tiny, plans);
    int32_t& last = tiny.ids.data<int32_t>()[kTinyLength - 1];
    last = (last + 1) % static_cast<int32_t>(kTinyVocabulary);
    const Rows after = logits(tiny, plans);
    for (size_t row = 0; row + 1 < kTinyLength; ++row) CHECK(after[row] == before[row]);
  }
}

}  // namespace
}  // namespace ssa
