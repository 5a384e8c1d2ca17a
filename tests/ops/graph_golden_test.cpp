// Attention inside graphs against egt_pytorch: one layer's, with virtual nodes, gates, degrees and
// clipped logits. The fixture is made by scripts/make_graph_fixture.py.

#include <algorithm>
#include <cmath>

#include "ssa/ops/ops.h"
#include "ssa/storage/safetensors.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using namespace testing;

class Fixture {
 public:
  Fixture(Device device, DType dtype)
      : file_(SSA_SOURCE_DIR "/tests/fixtures/golden/graph_attention.safetensors"),
        device_(device),
        dtype_(dtype) {}

  Tensor load(const std::string& name) const {
    return file_.load(name, device_, MemoryCategory::data);
  }
  Variable rounded(const std::string& name) const {
    const Tensor exact = file_.load(name, Device::reference, MemoryCategory::data);
    Tensor result = Tensor::empty(exact.shape(), dtype_, Device::reference);
    backend(Device::reference).copy(exact, result);
    return Variable(device_ == Device::reference ? result : result.to(device_));
  }
  Tensor attention() const {
    // All nodes are sources.
    const Tensor nodes = load("nodes");
    std::vector<int32_t> sources;
    for (int64_t g = 0; g + 1 < nodes.numel(); ++g) {
      const int32_t* first = nodes.data<int32_t>() + g;
      for (int32_t j = 0; j < first[1] - first[0]; ++j) sources.push_back(j);
    }
    const auto count = static_cast<int64_t>(sources.size());
    const ops::PackedGraphs graphs{nodes, nodes, Tensor::from(sources, {count}, device_),
                                   load("pairs"), load("classes")};
    return ops::graph_attention(rounded("query"), rounded("key"), rounded("value"),
                                {graphs,
                                 rounded("bias_table"),
                                 rounded("gate_table"),
                                 kVirtualNodes,
                                 kLogitClip,
                                 {}})
        .value();
  }

 private:
  static constexpr int64_t kVirtualNodes = 4;
  static constexpr double kLogitClip = 5;
  SafetensorsFile file_;
  Device device_;
  DType dtype_;
};

/// The largest difference, as a part of the largest magnitude that is expected.
double error(const Tensor& actual, const Tensor& expected) {
  const std::vector<double> got = values(actual), wanted = values(expected);
  REQUIRE(got.size() == wanted.size());
  double difference = 0, largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  REQUIRE(largest > 1);
  return difference / largest;
}

TEST_CASE("graph_attention: egt_pytorch's attention of a layer", "[ops]") {
  const Fixture exact(Device::reference, DType::f64);
  const Tensor expected = exact.load("attention");
  CHECK(error(exact.attention(), expected) < 1e-14);
  CHECK(error(Fixture(Device::cpu, DType::f32).attention(), expected) < 5e-6);
}

}  // namespace
}  // namespace ssa
