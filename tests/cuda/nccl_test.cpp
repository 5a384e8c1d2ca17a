// NCCL as far as one GPU can show it: a rank of its own starts, calls every collective and ends.
// What is the same for one rank in any order, the order of collectives and computation, needs two.

#include "ssa/dist/nccl.h"

#include <catch2/catch.hpp>

#include "ssa/backend/backend.h"
#include "ssa/backend/gpu_stream.h"

namespace ssa {

TEST_CASE("NCCL among one rank leaves buffers as they are") {
  Backend& compute = backend(Device::cuda);
  const auto host = make_single_process();
  const auto ranks = make_nccl(*host, gpu_stream());
  CHECK(ranks->size() == 1);
  CHECK(ranks->description().find("NCCL") != std::string::npos);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    constexpr int64_t kCount = int64_t{1} << 20;
    Tensor values = Tensor::empty({kCount}, dtype, Device::cuda);
    const CollectiveBuffer buffer{values.raw(), kCount, dtype};
    compute.fill(values, 1.5);
    ranks->all_reduce(buffer, "values").wait();
    compute.scale(values, 2.0, values);
    ranks->reduce_scatter(buffer, "values").wait();
    compute.scale(values, 2.0, values);
    ranks->all_gather(buffer, "values").wait();
    CHECK(compute.sum(values) == 6.0 * kCount);
  }
  CHECK(ranks->stats().collectives == 6);
}

}  // namespace ssa
