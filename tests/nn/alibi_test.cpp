// ALiBi's slopes against values written out from the definition of Press et al. 2022 (and equal to
// what its authors' get_slopes() returns).

#include "ssa/nn/layers.h"

#include "support/tensors.h"

namespace ssa {
namespace {

struct SlopeCase {
  int64_t heads;
  std::vector<double> slopes;
};

const std::vector<SlopeCase> kCases = {
    {1, {0.00390625}},
    {2, {0.0625, 0.00390625}},
    {3, {0.0625, 0.00390625, 0.25}},
    {6, {0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125}},
    {8, {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625}},
    {12,
     {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.70710678118654752,
      0.35355339059327376, 0.17677669529663688, 0.08838834764831844}},
    {16,
     {0.70710678118654752, 0.5, 0.35355339059327376, 0.25, 0.17677669529663688, 0.125,
      0.08838834764831844, 0.0625, 0.04419417382415922, 0.03125, 0.02209708691207961, 0.015625,
      0.011048543456039805, 0.0078125, 0.005524271728019903, 0.00390625}},
};

TEST_CASE("alibi: slopes of every head", "[nn]") {
  for (const SlopeCase& known : kCases) {
    DYNAMIC_SECTION(known.heads << " heads") {
      const Tensor slopes = nn::alibi_slopes(known.heads, Device::reference);
      CHECK(slopes.shape() == Shape{known.heads});
      CHECK(slopes.dtype() == DType::f32);
      const std::vector<double> got = testing::values(slopes);
      REQUIRE(got.size() == known.slopes.size());
      for (size_t h = 0; h < got.size(); ++h) {
        CAPTURE(h);
        CHECK(got[h] == Approx(known.slopes[h]).epsilon(1e-7));
      }
    }
  }
}

}  // namespace
}  // namespace ssa
