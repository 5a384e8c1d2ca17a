// Kernels give the same bits in whatever order blocks and threads run.

#include "backend/divided_work.h"

namespace ssa {
namespace {

using namespace testing;

TEST_CASE("cuda kernels give the same bits for any order of threads") {
  for (const Operation& operation : divided_work()) {
    INFO(operation.name);
    std::vector<std::vector<Tensor>> results;
    for_each_variant([&] { results.push_back(operation.run()); });
    REQUIRE(results.size() == 2);
    REQUIRE(results[0].size() == results[1].size());
    for (size_t i = 0; i < results[0].size(); ++i) {
      INFO("tensor " << i);
      CHECK(same_bits(results[0][i], results[1][i]));
    }
  }
}

}  // namespace
}  // namespace ssa
