// Checkpoints whose optimizer is in several files, and tensors put together from parts.

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ssa/storage/sharded_tensors.h"

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

Tensor counting(const Shape& shape, float first = 0) {
  Tensor tensor = Tensor::empty(shape, DType::f32, Device::cpu);
  float* data = tensor.data<float>();
  for (int64_t k = 0; k < shape.numel(); ++k) data[k] = first + static_cast<float>(k);
  return tensor;
}

/// Safetensors files in a folder, "0" and so on, opened together.
ShardedTensors shards(const TempDir& dir, const std::vector<std::vector<NamedTensor>>& contents) {
  std::vector<SafetensorsFile> files;
  for (size_t i = 0; i < contents.size(); ++i) {
    const std::string path = dir / std::to_string(i);
    write_safetensors(path, contents[i], {});
    files.emplace_back(path);
  }
  return ShardedTensors(std::move(files));
}

std::vector<float> loaded(const ShardedTensors& tensors, const std::string& name,
                          const Shape& whole, int64_t begin, const Shape& shape) {
  Tensor tensor = Tensor::empty(shape, DType::f32, Device::cpu);
  tensors.load(name, whole, begin, tensor);
  const float* data = tensor.data<float>();
  return {data, data + tensor.numel()};
}

const std::string kShard = "optimizer-00002-of-00003.safetensors";

}  // namespace

TEST_CASE("sharded tensors: any range comes together from parts, wherever they are cut") {
  const TempDir dir;
  const ShardedTensors tensors =
      shards(dir, {{{"x[7:12]", counting({5}, 7)}, {"whole", counting({3, 2})}},
                   {{"x[0:3]", counting({3}, 0)}, {"x[3:4]", counting({1}, 3)}},
                   {{"x[4:7]", counting({3}, 4)}}});
  CHECK(tensors.names() == std::vector<std::string>{"whole", "x"});
  for (int64_t begin = 0; begin <= 12; ++begin) {
    for (int64_t end = begin; end <= 12; ++end) {
      CAPTURE(begin, end);
      std::vector<float> expected;
      for (int64_t k = begin; k < end; ++k) expected.push_back(static_cast<float>(k));
      REQUIRE(loaded(tensors, "x", {4, 3}, begin, {end - begin}) == expected);
    }
  }
  CHECK(loaded(tensors, "x", {2, 6}, 0, {2, 6}).back() == 11);
  CHECK(loaded(tensors, "whole", {3, 2}, 4, {2}) == std::vector<float>{4, 5});
}

TEST_CASE("sharded tensors: what is asked for must be there, in its shape and dtype") {
  const TempDir dir;
  const ShardedTensors tensors = shards(
      dir, {{{"x[0:5]", counting({5})}, {"w", counting({3, 2})}}, {{"x[5:6]", counting({1})}}});
  const auto refused = [&](const std::string& name, const Shape& whole,
                           const std::vector<std::string>& parts) {
    require_checkpoint_error([&] { loaded(tensors, name, whole, 0, {1}); }, parts);
  };
  refused("y", {6}, {dir / "0", "with 1 more", "'y'", "another model"});
  refused("x", {7}, {dir / "1", "'x'", "6", "7"});
  refused("x", {5}, {dir / "1", "'x'", "6", "5"});
  refused("w", {2, 3}, {dir / "0", "'w'", "(3, 2)", "(2, 3)"});
  Tensor wide = Tensor::empty({6}, DType::f64, Device::cpu);
  require_checkpoint_error([&] { tensors.load("x", {6}, 0, wide); },
                           {dir / "0", "x[0:5]", "f32", "f64"});
  Tensor part = Tensor::empty({4}, DType::f32, Device::cpu);
  CHECK_THROWS_AS(tensors.load("x", {6}, 3, part), ShapeError);
}

TEST_CASE("sharded tensors: holes, overlaps and false names are errors") {
  const TempDir dir;
  const auto refused = [&](const std::vector<std::vector<NamedTensor>>& contents,
                           const std::vector<std::string>& parts) {
    require_checkpoint_error([&] { shards(dir, contents); }, parts);
  };
  SECTION("a hole") {
    refused({{{"x[0:3]", counting({3})}}, {{"x[4:6]", counting({2})}}},
            {dir / "1", "elements 3 to 3 of tensor 'x'", "2 files"});
    refused({{{"x[2:3]", counting({1})}}}, {dir / "0", "elements 0 to 1"});
  }
  SECTION("an overlap") {
    refused({{{"x[0:3]", counting({3})}}, {{"x[2:6]", counting({4})}}},
            {dir / "0", dir / "1", "'x'", "number 2"});
    refused({{{"x[0:3]", counting({3})}}, {{"x", counting({3})}}}, {dir / "0", dir / "1", "'x'"});
    refused({{{"x", counting({3})}}, {{"x", counting({3})}}}, {dir / "0", dir / "1", "'x'"});
  }
  SECTION("a name that says something else") {
    refused({{{"x[0:3]", counting({4})}}}, {dir / "0", "'x[0:3]'", "(4)"});
    refused({{{"x[0:4]", counting({2, 2})}}}, {dir / "0", "'x[0:4]'", "(2, 2)"});
    refused({{{"x[4:0]", counting({4})}}}, {dir / "0", "'x[4:0]'"});
  }
  SECTION("two dtypes") {
    refused(
        {{{"x[0:3]", counting({3})}}, {{"x[3:4]", Tensor::zeros({1}, DType::f64, Device::cpu)}}},
        {dir / "0", dir / "1", "'x'", "f32", "f64"});
  }
  SECTION("brackets alone make no part") {
    CHECK(shards(dir, {{{"x[3]", counting({4})}, {"y[a:b]", counting({1})}}}).names() ==
          std::vector<std::string>{"x[3]", "y[a:b]"});
  }
}

TEST_CASE("sharded checkpoint: comes back bit by bit, and its manifest lists every file") {
  const TempDir run;
  save_sharded(run.path(), data_of_step(7), 3, 2);
  const LoadedCheckpoint checkpoint = open_checkpoint(run / "checkpoints/latest");
  CHECK(checkpoint.step == 7);
  CHECK(is_intact(checkpoint));
  const auto manifest = nlohmann::json::parse(read_bytes(run / "checkpoints/step-7/manifest.json"));
  CHECK(manifest["files"].size() == 5);
  const auto& record = manifest["files"][kShard];
  CHECK(record["bytes"] == read_bytes(run / ("checkpoints/step-7/" + kShard)).size());
  // The next save may have another number of files.
  save_sharded(run.path(), data_of_step(7), 2, 2);
  CHECK(is_intact(open_checkpoint(run / "checkpoints/latest")));
  CHECK_FALSE(path_exists(run / ("checkpoints/step-7/" + kShard)));
}

TEST_CASE("sharded checkpoint: with a damaged or missing shard, the one before is used") {
  const TempDir run;
  save_sharded(run.path(), data_of_step(1), 2, 2);
  save_sharded(run.path(), data_of_step(2), 3, 2);
  const std::string path = run / ("checkpoints/step-2/" + kShard);
  const std::string intact = read_bytes(path);
  const auto damage = GENERATE(0, 1, 2);
  if (damage == 0) {
    std::string flipped = intact;
    flipped[intact.size() - 3] = static_cast<char>(flipped[intact.size() - 3] ^ 8);
    write_bytes(path, flipped);
  } else if (damage == 1) {
    write_bytes(path, intact.substr(0, intact.size() - 1));
  } else {
    std::filesystem::remove(path);
  }
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-2"); }, {path});
  std::vector<std::string> warnings;
  const auto used = find_latest_checkpoint(run.path(), &warnings);
  CHECK(used->step == 1);
  CHECK(is_intact(*used));
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Catch::Contains(path) && Catch::Contains("step-1 is used instead"));
}

TEST_CASE("sharded checkpoint: a manifest without one of the shards is refused") {
  const TempDir run;
  CheckpointSave save(run.path(), 4, 2);
  const CheckpointData data = data_of_step(4);
  save.write_model(data.model);
  save.write_state(data.state_json);
  std::vector<SavedFile> files;
  for (const int index : {0, 2}) {
    files.push_back(
        save_optimizer_shard(run.path(), 4, index, 3, shard_of(data.optimizer, index, 3)));
  }
  save.commit(files);
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-4"); },
                           {"step-4", "does not list " + kShard});
}

TEST_CASE("sharded checkpoint: a save that is given up leaves nothing behind") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(1), 2);
  {
    CheckpointSave save(run.path(), 2, 2);
    save.write_model(data_of_step(2).model);
    save_optimizer_shard(run.path(), 2, 1, 2, {});
    CHECK(path_exists(run / "checkpoints/.step-2.partial"));
  }
  CHECK(list_directory(run / "checkpoints") == std::vector<std::string>{"latest", "step-1"});
}

TEST_CASE("sharded checkpoint: files that others say they have written must be there") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(1), 2);
  CheckpointSave save(run.path(), 2, 2);
  const SavedFile own = save_optimizer_shard(run.path(), 2, 0, 2, {});
  SavedFile other = own;
  SECTION("missing") {
    other.name = "optimizer-00002-of-00002.safetensors";
    require_checkpoint_error(
        [&] {
          save.commit({own, other});
        },
        {other.name, "file system that all ranks share"});
  }
  SECTION("of another size") {
    ++other.bytes;
    require_checkpoint_error(
        [&] {
          save.commit({own, other});
        },
        {own.name, std::to_string(own.bytes), std::to_string(other.bytes)});
  }
  CHECK(find_latest_checkpoint(run.path(), nullptr)->step == 1);
}

TEST_CASE("sharded checkpoint: the report of a file survives the way to another process") {
  const SavedFile file{"optimizer-00001-of-00002.safetensors", 1234567890123, "0123abcd"};
  const SavedFile back = saved_file_from_text(to_text(file));
  CHECK(back.name == file.name);
  CHECK(back.bytes == file.bytes);
  CHECK(back.checksum == file.checksum);
  for (const std::string text : {"", "{}", "[1]", "{\"name\":3,\"bytes\":1,\"xxh3_128\":\"\"}"}) {
    require_checkpoint_error([&] { saved_file_from_text(text); }, {"report of a saved file"});
  }
}
