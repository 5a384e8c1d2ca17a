#include "convert/position_table.h"

#include "support/tensors.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// ((7r + 13c² + 3r²) mod 19) / 8 - 1 for row r and head c.
Tensor table(int64_t rows, int64_t heads) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < heads; ++c) {
      values.push_back(static_cast<float>((7 * r + 13 * c * c + 3 * r * r) % 19) / 8 - 1);
    }
  }
  return Tensor::from(values, {rows, heads}, Device::cpu);
}

void check_resized(int64_t from, int64_t to, const std::vector<double>& expected) {
  const std::vector<double> found = values(resized_table(table(from, 2), to, "table"));
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(from, to, i);
    CHECK(found[i] == Approx(expected[i]).margin(1e-6));
  }
}

}  // namespace

// PyTorch 2.15: torch.nn.functional.interpolate(squares, mode="bicubic", align_corners=False) of
// each head's square.
TEST_CASE("a table of position biases is resized as by torch's bicubic interpolation") {
  check_resized(9, 25,
                {-1.2630402, 0.8617361,  -0.4993277, 0.2388276,  0.37,       -0.608,     0.1155877,
                 -0.9267079, -0.277736,  -1.0058483, -0.6057435, 0.1324119,  -0.5146835, 0.1397197,
                 -0.2890002, 0.0535,     0.1467438,  -0.3100098, 0.4540879,  -0.5882077, 0.37,
                 -0.608,     -0.3699999, -0.0274998, -1.0,       0.625,      0.0575003,  0.3999998,
                 1.0550001,  0.077,      1.0201238,  -0.0221717, 0.2544737,  -0.2022799, -0.6309997,
                 -0.2885003, -0.4291838, 0.2252198,  -0.0753284, 0.662828,   1.3421521,  0.61404,
                 0.7331234,  -0.3091721, -0.1780001, -1.1560001, -0.8072439, -0.0690876, -1.1260401,
                 0.9987362});
  check_resized(49, 9,
                {-0.4826386, 0.0053584, 0.0532406, -0.6967592, 0.1466904, 0.3993057, 0.2708334,
                 -0.7430554, 0.875, 0.125, -0.599537, -0.6018524, 0.6616085, 0.0932356, -0.8055558,
                 0.0717596, -0.0852195, -0.6161268});
}

TEST_CASE("only tables of square windows are resized") {
  for (const int64_t rows : {8, 16}) {
    CHECK(
        contains(message_of<CheckpointError>([&] { resized_table(table(rows, 1), 9, "layer 3"); }),
                 "layer 3: " + std::to_string(rows) + " rows are no table"));
  }
}
