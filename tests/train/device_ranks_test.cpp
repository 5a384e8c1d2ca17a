#include "ssa/train/device_ranks.h"

#include <catch2/catch.hpp>

#include "dist/thread_ranks.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr const char* kNoDriver = "the driver sees no GPU";

/// What --device auto is where rank r has a GPU if `with[r]`; two ranks on each host.
Device device_of(const std::vector<bool>& with) {
  std::vector<Device> chosen(with.size());
  on_ranks(static_cast<int>(with.size()), [&](Communicator& ranks) {
    const auto rank = static_cast<size_t>(ranks.rank());
    const OwnGpu own{fmt::format("node{}", rank / 2 + 1), with[rank] ? "" : kNoDriver};
    chosen[rank] = common_device(own, ranks);
  });
  for (const Device device : chosen) CHECK(device == chosen.front());
  return chosen.front();
}

}  // namespace

TEST_CASE("the option --device auto is a GPU if every rank has one, the processor if none has") {
  CHECK(device_of({true, true, true}) == Device::cuda);
  CHECK(device_of({false, false, false}) == Device::cpu);
}

TEST_CASE("the option --device auto is refused where some ranks have a GPU and others not") {
  std::string message;
  try {
    device_of({true, true, true, false, false});
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(contains(message, "some ranks have a GPU: ranks 0-1 on node1, rank 2 on node2"));
  CHECK(contains(message, "others have none: rank 3 on node2, rank 4 on node3"));
  CHECK(contains(message, std::string("On rank 3: ") + kNoDriver));
  CHECK(contains(message, "--device cpu"));
}
