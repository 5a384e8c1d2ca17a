#include "ssa/storage/safetensors.h"

#include <catch2/catch.hpp>

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::string little_endian(uint64_t value) {
  std::string text;
  for (int i = 0; i < 8; ++i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

/// A file with this header and so many bytes of elements.
std::string file_with(const std::string& header, size_t data_bytes) {
  return little_endian(header.size()) + header + std::string(data_bytes, '\1');
}

void require_refused(const std::string& bytes, const std::vector<std::string>& reasons) {
  const TempDir dir;
  const std::string path = dir / "hostile.safetensors";
  write_bytes(path, bytes);
  std::vector<std::string> parts = reasons;
  parts.push_back(path);
  CAPTURE(bytes.substr(0, 300));
  require_checkpoint_error([&] { SafetensorsFile file(path); }, parts);
}

struct HostileHeader {
  std::string header;
  size_t data_bytes;
  std::string reason;
};

const std::vector<HostileHeader> kHostileHeaders = {
    {R"()", 0, "does not begin with '{'"},
    {R"([])", 0, "does not begin with '{'"},
    {R"( {})", 0, "does not begin with '{'"},
    {R"({)", 0, "no valid JSON"},
    {R"({} {})", 0, "no valid JSON"},
    {R"({"a")", 0, "no valid JSON"},
    {R"({"a":1})", 0, "a number"},
    {R"({"a":null})", 0, "null"},
    {R"({"a":[]})", 0, "an array"},
    {R"({"a":"b"})", 0, "a string"},
    {R"({"a":true})", 0, "a boolean"},
    {R"({"a":{}})", 0, "lacks one of"},
    {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "lacks one of"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{}}})", 4, "an object"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":"y"}})", 4, "a string"},
    {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "an array"},
    {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "a string"},
    {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "no 64-bit integer"},
    {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "negative"},
    {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}})", 4,
     "no 64-bit integer"},
    {R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4, "dtype 'Q4'"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "1 data_offsets"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 8, "3 data_offsets"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "lies at bytes 4"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "lies at bytes 0"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]}})",
     4, "lies at bytes 18446744073709551612"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "(8 bytes) but has 4"},
    {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}})", 0, "(4 bytes) but has 0"},
    // 2^62 · 4 bytes and 2^32 · 2^32 elements wrap to 0.
    {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0, "overflows"},
    {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
     "overflows"},
    {R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
     "overflows"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "hole"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "hole"},
    {R"({})", 1, "hole"},
    {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
     10, "hole"},
    {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
     6, "overlaps"},
    {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
     4, "overlaps"},
    {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
     8, "'a' comes twice"},
    {R"({"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4, "comes twice"},
    {R"({"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4, "comes twice"},
    {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"data_offsets":[0,4]}})", 4,
     "comes twice"},
    {R"({"__metadata__":{},"__metadata__":{}})", 0, "comes twice"},
    {R"({"__metadata__":{"a":"b","a":"b"}})", 0, "comes twice"},
    {R"({"__metadata__":{"a":1}})", 0, "a number"},
    {R"({"__metadata__":{"a":{"b":"c"}}})", 0, "an object"},
    {R"({"__metadata__":[]})", 0, "an array"},
    {"{\"\xff\xfe\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "no valid JSON"},
    {"{\"__metadata__\":{\"a\":\"\xc3\"}}", 0, "no valid JSON"},
    {"{\"__metadata__\":{\"a\":\"\\ud800\"}}", 0, "no valid JSON"},
    {std::string("{\0}", 3), 0, "no valid JSON"},
};

}  // namespace

TEST_CASE("tensors of every dtype come back bit by bit") {
  const TempDir dir;
  std::vector<NamedTensor> tensors;
  uint64_t seed = 0;
  for (const DType dtype :
       {DType::u8, DType::f16, DType::f32, DType::i32, DType::bf16, DType::f64}) {
    tensors.push_back({std::string(name(dtype)), random_tensor({3, 5}, dtype, ++seed)});
    tensors.push_back({"scalar." + std::string(name(dtype)), random_tensor({}, dtype, ++seed)});
    tensors.push_back({"empty." + std::string(name(dtype)), random_tensor({2, 0}, dtype, ++seed)});
  }
  tensors.push_back({"naïve \"name\"\n", random_tensor({7}, DType::u8, ++seed)});
  write_safetensors(dir / "file", tensors, {{"who", "tester"}, {"empty", ""}});

  const SafetensorsFile file(dir / "file");
  REQUIRE(file.metadata() == SafetensorsMetadata{{"who", "tester"}, {"empty", ""}});
  REQUIRE(file.names().size() == tensors.size());
  for (const NamedTensor& named : tensors) {
    CAPTURE(named.name);
    const Tensor loaded = file.load(named.name, Device::reference, MemoryCategory::parameters);
    REQUIRE(loaded.device() == Device::reference);
    REQUIRE(same_bits(loaded, named.tensor));
  }
  for (const SafetensorsEntry& entry : file.entries()) {
    REQUIRE(entry.begin % size_of(entry.dtype) == 0);
  }
}

TEST_CASE("tensors of dtypes that are not read may lie beside others") {
  const TempDir dir;
  const std::string header = R"({"steps":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                             R"("mask":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]},)"
                             R"("weight":{"dtype":"U8","shape":[1],"data_offsets":[19,20]}})";
  write_bytes(dir / "file", file_with(header, 20));
  const SafetensorsFile file(dir / "file");
  CHECK(file.names().size() == 3);
  CHECK(file.entries()[0].unreadable == "I64");
  CHECK(file.entries()[2].unreadable.empty());
  CHECK(file.load("weight", Device::cpu, MemoryCategory::data).data<uint8_t>()[0] == 1);
  require_checkpoint_error([&] { file.load("mask", Device::cpu, MemoryCategory::data); },
                           {"'mask' has dtype BOOL", dir / "file"});
  require_refused(file_with(R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,4]}})", 4),
                  {"(8 bytes) but has 4"});
}

TEST_CASE("tensors are made one by one while they are written") {
  const TempDir dir;
  const NamedTensor one{"one", random_tensor({4, 2}, DType::f32, 1)};
  const NamedTensor two{"two", random_tensor({3}, DType::bf16, 2)};
  int made = 0;
  const auto lazily = [&](const NamedTensor& named, const Shape& shape) {
    return TensorToWrite{named.name, named.tensor.dtype(), shape, [&made, &named] {
                           ++made;
                           return named.tensor;
                         }};
  };
  replace_file(dir / "lazy", [&](OutputFile& file) {
    write_safetensors(file, {lazily(two, {3}), lazily(one, {4, 2})}, {});
  });
  write_safetensors(dir / "eager", {one, two}, {});
  CHECK(made == 2);
  CHECK(read_bytes(dir / "lazy") == read_bytes(dir / "eager"));
  CHECK_THROWS_AS(replace_file(dir / "wrong",
                               [&](OutputFile& file) {
                                 write_safetensors(file, {lazily(one, {2, 4})}, {});
                               }),
                  ShapeError);
  CHECK_FALSE(path_exists(dir / "wrong"));
}

TEST_CASE("the bytes are what the format says") {
  const TempDir dir;
  const std::vector<NamedTensor> tensors = {
      {"b", Tensor::from<uint8_t>({7}, {1}, Device::cpu)},
      {"a", Tensor::from<float>({1.0f, -2.0f}, {2, 1}, Device::cpu)}};
  write_safetensors(dir / "file", tensors, {{"k", "v"}});
  std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::string data("\0\0\x80\x3f\0\0\0\xc0\7", 9);
  REQUIRE(read_bytes(dir / "file") == little_endian(header.size()) + header + data);
  REQUIRE_FALSE(path_exists(dir / "file.partial"));

  write_safetensors(dir / "other order", {tensors[1], tensors[0]}, {{"k", "v"}});
  REQUIRE(read_bytes(dir / "other order") == read_bytes(dir / "file"));
  write_safetensors(dir / "none", {}, {});
  REQUIRE(read_bytes(dir / "none") == little_endian(8) + "{}      ");
  REQUIRE(SafetensorsFile(dir / "none").names().empty());
}

TEST_CASE("tensors that cannot be written are named") {
  const TempDir dir;
  const Tensor tensor = random_tensor({2, 3}, DType::f32, 1);
  const std::string path = dir / "file";
  REQUIRE_THROWS_AS(write_safetensors(path, {{"a", tensor.transpose(0, 1)}}, {}), ShapeError);
  REQUIRE_THROWS_AS(write_safetensors(path, {{"a", Tensor()}}, {}), ShapeError);
  require_checkpoint_error(
      [&] {
        write_safetensors(path, {{"a", tensor}, {"a", tensor}}, {});
      },
      {path, "two tensors are called 'a'"});
  require_checkpoint_error(
      [&] {
        write_safetensors(path, {{"__metadata__", tensor}}, {});
      },
      {path, "reserved"});
  require_checkpoint_error([&] { write_safetensors(path, {{"\xff", tensor}}, {}); }, {path});
  REQUIRE_FALSE(path_exists(path));
}

TEST_CASE("a tensor of another shape or dtype is refused with both named") {
  const TempDir dir;
  write_safetensors(dir / "file", {{"a", random_tensor({2, 3}, DType::f32, 1)}}, {});
  const SafetensorsFile file(dir / "file");
  Tensor transposed = Tensor::zeros({3, 2}, DType::f32, Device::cpu);
  require_checkpoint_error([&] { file.load_into("a", transposed); },
                           {"'a'", "f32 (2, 3) in the file", "f32 (3, 2) in the model"});
  Tensor narrow = Tensor::zeros({2, 3}, DType::bf16, Device::cpu);
  require_checkpoint_error([&] { file.load_into("a", narrow); }, {"f32 (2, 3)", "bf16 (2, 3)"});
  require_checkpoint_error([&] { file.load("b", Device::cpu, MemoryCategory::data); },
                           {dir / "file", "no tensor 'b'"});
  Tensor right = Tensor::zeros({2, 3}, DType::f32, Device::cpu);
  file.load_into("a", right);
  REQUIRE(same_bits(right, random_tensor({2, 3}, DType::f32, 1)));
}

TEST_CASE("hostile headers are refused with the reason") {
  for (const HostileHeader& hostile : kHostileHeaders) {
    require_refused(file_with(hostile.header, hostile.data_bytes), {hostile.reason});
  }
}

TEST_CASE("the same headers without the fault are accepted") {
  const TempDir dir;
  for (const std::string header : {
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
           R"({"a":{"data_offsets":[0,4],"shape":[4],"dtype":"U8"},"__metadata__":{"a":"b"}}   )",
           R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
           R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
           R"("c":{"dtype":"U8","shape":[0,5],"data_offsets":[2,2]}})",
       }) {
    write_bytes(dir / "file", file_with(header, 4));
    REQUIRE(SafetensorsFile(dir / "file").contains("a"));
  }
}

TEST_CASE("hostile header sizes are refused") {
  const std::string rest = "{}" + std::string(100, ' ');
  for (const uint64_t size : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63,
                              uint64_t{103}, uint64_t{100'000'001}}) {
    CAPTURE(size);
    require_refused(little_endian(size) + rest, {"no valid safetensors"});
  }
  for (size_t bytes = 0; bytes < 8; ++bytes) {
    require_refused(std::string(bytes, '\0'), {"truncated"});
  }
}

TEST_CASE("a header above the limit is refused even if the file is as large") {
  const TempDir dir;
  write_bytes(dir / "large", little_endian(100'000'001) + "{}");
  std::filesystem::resize_file(dir / "large", 100'000'100);  // sparse
  require_checkpoint_error([&] { SafetensorsFile file(dir / "large"); }, {"100000001", "limit"});
}

TEST_CASE("deep nesting is refused without recursion") {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string header = "{\"a\":";
    for (int i = 0; i < 200'000; ++i) header += open;
    require_refused(file_with(header, 0), {"no valid safetensors"});
  }
}

TEST_CASE("random damage to a header never crashes") {
  const TempDir dir;
  write_safetensors(dir / "file", data_of_step(3).model, {{"k", "v"}});
  const std::string intact = read_bytes(dir / "file");
  const RngKey key{17};
  int refused = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    std::string damaged = intact;
    for (uint64_t change = 0; change <= key.word(8 * i) % 3; ++change) {
      damaged[key.word(8 * i + 2 * change + 1) % 400] =
          static_cast<char>(key.word(8 * i + 2 * change + 2));
    }
    write_bytes(dir / "damaged", damaged);
    try {
      const SafetensorsFile file(dir / "damaged");
      for (const std::string& name : file.names()) {
        file.load(name, Device::cpu, MemoryCategory::data);
      }
    } catch (const CheckpointError&) {
      ++refused;
    }
  }
  REQUIRE(refused > 1500);
}
