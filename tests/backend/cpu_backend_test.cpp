#include "backend/cpu/cpu_backend.h"

#include <cstdlib>
#include <optional>

#include "backend/cases.h"
#include "backend/cpu/kernels/kernels.h"

namespace ssa {
namespace {

using namespace testing;

TEST_CASE("the cpu backend is found by its device and says what it runs on") {
  Backend& found = backend(Device::cpu);
  CHECK(&found == &cpu_backend());
  CHECK(found.device() == Device::cpu);
  CHECK_THAT(found.description(), Catch::Contains(cpu::kernels().isa));
  CHECK_THAT(found.description(), Catch::Contains("oneDNN"));
  CHECK_THAT(found.description(), Catch::Contains("bf16 products: "));
  CHECK((found.supports(DType::f32) && found.supports(DType::bf16)));
  for (const DType dtype : {DType::f64, DType::f16, DType::i32}) {
    CHECK_FALSE(found.supports(dtype));
  }
}

TEST_CASE("kernels are found by their instruction set") {
  REQUIRE(cpu::find_kernels("baseline"));
  CHECK(std::string(cpu::find_kernels("baseline")->isa) == "baseline");
  CHECK_FALSE(cpu::find_kernels("avx1024"));
  CHECK_FALSE(cpu::select_kernels("avx1024"));
}

/// Sets SSA_CPU_ISA until the end of the scope.
class ScopedIsa {
 public:
  explicit ScopedIsa(const char* isa) {
    if (const char* old = std::getenv("SSA_CPU_ISA")) old_ = old;
    ::setenv("SSA_CPU_ISA", isa, 1);
  }
  ~ScopedIsa() {
    if (old_) {
      ::setenv("SSA_CPU_ISA", old_->c_str(), 1);
    } else {
      ::unsetenv("SSA_CPU_ISA");
    }
  }
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  std::optional<std::string> old_;
};

TEST_CASE("an instruction set that cannot be had is refused when the cpu backend is made") {
  {
    const ScopedIsa isa("foo");
    try {
      CpuBackend made;
      FAIL("made with SSA_CPU_ISA=foo");
    } catch (const Error& error) {  // not by the first op, whose threads could not pass it on
      CHECK(error.code() == ExitCode::usage);
      CHECK_THAT(error.what(), Catch::Contains("SSA_CPU_ISA=foo") && Catch::Contains("baseline"));
    }
  }
  for (const char* name : {"baseline", ""}) {
    const ScopedIsa isa(name);
    CHECK_NOTHROW(CpuBackend());
  }
}

TEST_CASE("cpu column_sum of bf16 gives the bits of f32") {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 17}, {65, 33}, {300, 24}, {7, 1000}, {4500, 10}}) {
    INFO(rows << "×" << columns);
    const Tensor wider = converted(random_tensor({rows, columns + 5}, 1), DType::bf16);
    const Tensor wide = converted(wider, DType::f32);
    Guarded from_f32({columns}), from_bf16({columns});
    cpu_backend().column_sum(wide.slice(1, 2, columns), from_f32.tensor, false);
    cpu_backend().column_sum(wider.slice(1, 2, columns), from_bf16.tensor, false);
    CHECK(same_bits(from_f32.tensor, from_bf16.tensor));
  }
}

TEST_CASE("the cpu backend names the op and the tensor that does not fit") {
  const Tensor f32 = random_tensor({4}, 1);
  Tensor longer = random_tensor({5}, 2);
  Tensor f64 = Tensor::zeros({4}, DType::f64, Device::cpu);
  CHECK_THROWS_WITH(cpu_backend().add(f32, f32, longer), "add: out has shape (5) instead of (4)");
  CHECK_THROWS_WITH(cpu_backend().scale(f64, 2, f64),
                    Catch::Contains("in is f64, but the cpu backend computes in f32 and bf16"));
  Tensor missing;
  CHECK_THROWS_WITH(cpu_backend().add(f32, missing, longer), "add: b is not given");
  Tensor square = random_tensor({4, 4}, 3);
  Tensor across = square.transpose(0, 1);
  CHECK_THROWS_WITH(cpu_backend().add(across, square, square), "add: a is not contiguous");
}

}  // namespace
}  // namespace ssa
