#include "ssa/core/device_memory.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/core/tensor.h"

namespace ssa {
namespace {

/// The memory of a fake device. The host cannot use pointers to it, and every access must lie
/// inside one allocation.
class FakeMemory : public DeviceMemory {
 public:
  size_t limit = size_t{1} << 20;
  int allocations = 0, copies_in = 0, copies_out = 0, copies_within = 0, zeroed = 0;

  void* allocate(size_t bytes) override {
    if (in_use_ + bytes > limit) return nullptr;
    ++allocations;
    in_use_ += bytes;
    const uintptr_t address = next_;
    next_ += (bytes + 4095) / 4096 * 4096 + 4096;
    blocks_[address].assign(bytes, std::byte{0xcd});
    return reinterpret_cast<void*>(address);
  }
  void free(void* pointer) noexcept override {
    const auto found = blocks_.find(reinterpret_cast<uintptr_t>(pointer));
    in_use_ -= found->second.size();
    blocks_.erase(found);
  }
  void copy_in(void* to, const void* from, size_t bytes) override {
    ++copies_in;
    std::memcpy(at(to, bytes), from, bytes);
  }
  void copy_out(void* to, const void* from, size_t bytes) override {
    ++copies_out;
    std::memcpy(to, at(from, bytes), bytes);
  }
  void copy_within(void* to, const void* from, size_t bytes) override {
    ++copies_within;
    std::memcpy(at(to, bytes), at(from, bytes), bytes);
  }
  void zero(void* to, size_t bytes) override {
    ++zeroed;
    std::memset(at(to, bytes), 0, bytes);
  }
  std::unique_ptr<InputLane> open_lane(size_t) override { return nullptr; }
  std::unique_ptr<Stopwatch> start_stopwatch() override { return nullptr; }
  void wait() override {}
  int64_t capacity() const override { return static_cast<int64_t>(limit); }
  size_t blocks() const { return blocks_.size(); }

 private:
  std::byte* at(const void* pointer, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto block = blocks_.upper_bound(address);
    REQUIRE(block != blocks_.begin());
    --block;
    const size_t offset = address - block->first;
    REQUIRE(offset + bytes <= block->second.size());
    return block->second.data() + offset;
  }
  std::map<uintptr_t, std::vector<std::byte>> blocks_;
  uintptr_t next_ = uintptr_t{1} << 46;
  size_t in_use_ = 0;
};

FakeMemory& fresh_memory() {
  static std::vector<std::unique_ptr<FakeMemory>>
      all;  // each is in use until the next is installed
  all.push_back(std::make_unique<FakeMemory>());
  install_device_memory(Device::cuda, *all.back());
  return *all.back();
}

std::vector<float> counting(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

std::vector<float> host_values(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu);
  return {host.data<float>(), host.data<float>() + host.numel()};
}

}  // namespace

TEST_CASE("Tensors travel to a device and back", "[device]") {
  FakeMemory& memory = fresh_memory();
  const Tensor there = Tensor::from(counting(6), {2, 3}, Device::cuda);
  CHECK(there.device() == Device::cuda);
  CHECK(memory.copies_in == 1);
  CHECK(host_values(there) == counting(6));
  CHECK(memory.copies_out == 1);

  const Tensor host = Tensor::from(counting(6), {2, 3}, Device::cpu);
  CHECK(host_values(host.to(Device::cuda)) == counting(6));
  CHECK(host.to(Device::cuda).to(Device::reference).device() == Device::reference);
  CHECK(there.to(Device::cuda).raw() == there.raw());  // no copy: it is there already
  CHECK(host.to(Device::cpu).raw() == host.raw());
  CHECK(host.on_host().raw() == host.raw());
  CHECK(there.on_host().device() == Device::cpu);
  CHECK(host.to(Device::reference).raw() != host.raw());

  const Tensor none = Tensor::zeros({3, 5}, DType::bf16, Device::cuda).to(Device::cpu);
  CHECK(memory.zeroed == 1);
  for (int64_t i = 0; i < 15; ++i) CHECK(none.data<BFloat16>()[i].bits == 0);
  CHECK(Tensor::zeros({0, 4}, DType::f32, Device::cuda).to(Device::cpu).numel() == 0);
  CHECK_THROWS_AS(Tensor().to(Device::cuda), ShapeError);
}

TEST_CASE("What travels is contiguous afterwards", "[device]") {
  fresh_memory();
  const std::vector<float> turned = {0, 3, 1, 4, 2, 5}, part = {1, 2, 4, 5};
  for (const Device from : {Device::cpu, Device::cuda}) {
    for (const Device to : {Device::cpu, Device::cuda}) {
      CAPTURE(name(from), name(to));
      const Tensor tensor = Tensor::from(counting(6), {2, 3}, from);
      const Tensor moved = tensor.transpose(0, 1).to(to);
      CHECK(moved.is_contiguous());
      CHECK(moved.device() == to);
      CHECK(moved.shape() == Shape{3, 2});
      CHECK(host_values(moved) == turned);
      CHECK(host_values(tensor.slice(1, 1, 2).to(to)) == part);
      CHECK(host_values(tensor.slice(0, 1, 1).to(to)) == std::vector<float>{3, 4, 5});
      CHECK(tensor.slice(1, 1, 0).to(to).numel() == 0);
    }
  }
}

TEST_CASE("Elements are overwritten from wherever they are", "[device]") {
  FakeMemory& memory = fresh_memory();
  const std::vector<float> old = {9, 9, 9, 9, 9, 9};
  for (const Device from : {Device::cpu, Device::cuda}) {
    for (const Device to : {Device::cpu, Device::cuda}) {
      Tensor target = Tensor::from(old, {2, 3}, to);
      const uint64_t version = target.version();
      const std::byte* place = std::as_const(target).raw();
      target.copy_from(Tensor::from(counting(6), {2, 3}, from));
      CHECK(host_values(target) == counting(6));
      CHECK(std::as_const(target).raw() == place);
      CHECK(target.version() > version);  // derived copies are out of date
      target.copy_from(Tensor::from(counting(6), {3, 2}, from).transpose(0, 1));
      CHECK(host_values(target) == std::vector<float>{0, 2, 4, 1, 3, 5});
      CHECK_THROWS_AS(target.copy_from(Tensor::from(counting(6), {3, 2}, from)), ShapeError);
      CHECK_THROWS_AS(target.copy_from(Tensor::empty({2, 3}, DType::bf16, from)), ShapeError);
      Tensor gaps = target.transpose(0, 1);
      CHECK_THROWS_AS(gaps.copy_from(Tensor::empty({3, 2}, DType::f32, from)), ShapeError);
    }
  }
  CHECK(memory.copies_within > 0);
}

TEST_CASE("Device memory is counted apart and reused", "[device]") {
  FakeMemory& memory = fresh_memory();
  const auto in_use = [](Device device) {
    return allocator(device).stats().bytes[static_cast<size_t>(MemoryCategory::optimizer)];
  };
  const int64_t on_host = in_use(Device::cpu);
  {
    const Tensor tensor = Tensor::empty({256}, DType::f32, Device::cuda, MemoryCategory::optimizer);
    CHECK(in_use(Device::cuda) == 1024);
    CHECK(in_use(Device::cpu) == on_host);
  }
  CHECK(in_use(Device::cuda) == 0);
  CHECK(memory.blocks() == 1);  // kept
  { const Tensor tensor = Tensor::empty({1000}, DType::u8, Device::cuda); }
  CHECK(memory.allocations == 1);
  allocator(Device::cuda).trim();
  CHECK(memory.blocks() == 0);
  CHECK(&allocator(Device::cpu) == &host_allocator());
  CHECK(&allocator(Device::reference) == &host_allocator());
}

TEST_CASE("A full device gives kept buffers back before it says so", "[device]") {
  FakeMemory& memory = fresh_memory();
  memory.limit = 1024;
  { const Tensor small = Tensor::empty({640}, DType::u8, Device::cuda); }
  const Tensor large = Tensor::empty({1024}, DType::u8, Device::cuda);
  CHECK(memory.blocks() == 1);
  CHECK_THROWS_WITH(Tensor::empty({64}, DType::u8, Device::cuda),
                    Catch::Contains("out of memory on the GPU") &&
                        Catch::Contains("for activations") && Catch::Contains("train.micro_batch"));
}

TEST_CASE("A memory in use is not replaced, nor is the host's", "[device]") {
  FakeMemory& memory = fresh_memory();
  {
    const Tensor tensor = Tensor::zeros({4}, DType::f32, Device::cuda);
    FakeMemory other;
    CHECK_THROWS_WITH(install_device_memory(Device::cuda, other), Catch::Contains("still live"));
    CHECK(&device_memory(Device::cuda) == &memory);
  }
  CHECK_THROWS_AS(install_device_memory(Device::cpu, memory), ShapeError);
}

TEST_CASE("Where memory runs out, what is reserved is given away", "[device]") {
  FakeMemory memory;
  memory.limit = 4096;
  CachingAllocator allocator(memory, "");
  auto reservation = allocator.reserve();
  void* held = allocator.allocate(1024, MemoryCategory::gradients);
  allocator.release(allocator.allocate(2048, MemoryCategory::activations), 2048,
                    MemoryCategory::activations);
  SECTION("after it was closed") {
    reservation->close();
    void* fits = allocator.allocate(1024, MemoryCategory::activations);
    CHECK(reservation->holds());
    allocator.release(fits, 1024, MemoryCategory::activations);
    void* large = allocator.allocate(3072, MemoryCategory::activations);
    CHECK_FALSE(reservation->holds());
    allocator.release(large, 3072, MemoryCategory::activations);
  }
  SECTION("but not while it is open") {
    CHECK_THROWS_AS(allocator.allocate(3072, MemoryCategory::activations), OutOfMemoryError);
    allocator.trim();
    CHECK(allocator.stats().cached_bytes == 2048);
    reservation->close();
    CHECK(reservation->holds());
  }
  allocator.release(held, 1024, MemoryCategory::gradients);
  reservation.reset();
  allocator.trim();
  CHECK(allocator.stats().cached_bytes == 0);
}

TEST_CASE("A stopwatch has a lap less than marks", "[device]") {
  const auto watch = device_memory(Device::cpu).start_stopwatch();
  CHECK(watch->laps().empty());
  for (int i = 0; i < 3; ++i) watch->mark();
  const std::vector<double> laps = watch->laps();
  REQUIRE(laps.size() == 2);
  CHECK((laps[0] >= 0 && laps[1] >= 0));
}

TEST_CASE("A lane of the host's memory gives what was sent last", "[device]") {
  const auto lane = device_memory(Device::cpu).open_lane(3 * sizeof(float));
  const std::vector<float> first = {1, 2, 3}, second = {4, 5};
  std::vector<float> got(3, 0.0f);
  lane->send(first.data(), sizeof(float) * 3);
  lane->receive(got.data(), sizeof(float) * 3);
  CHECK(got == first);
  lane->send(first.data(), sizeof(float) * 3);
  lane->send(second.data(), sizeof(float) * 2);
  lane->receive(got.data(), sizeof(float) * 2);
  CHECK(got == std::vector<float>{4, 5, 3});
}

}  // namespace ssa
