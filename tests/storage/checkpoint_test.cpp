#include "ssa/storage/checkpoint.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ssa/core/version.h"
#include "ssa/storage/run_folder.h"
#include "ssa/storage/weights_file.h"

#include "storage/checkpoint_fixture.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

std::vector<std::string> folders(const TempDir& run) { return list_directory(run / "checkpoints"); }

std::string file_of(const TempDir& run, int64_t step, const std::string& file) {
  return run / ("checkpoints/step-" + std::to_string(step) + "/" + file);
}

const std::vector<std::string> kFiles = {"model.safetensors", "optimizer.safetensors", "state.json",
                                         "manifest.json"};

}  // namespace

TEST_CASE("a saved checkpoint comes back bit by bit") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(7), 3);
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-7"});
  REQUIRE(read_bytes(run / "checkpoints/latest") == "step-7\n");

  const LoadedCheckpoint checkpoint = open_checkpoint(run / "checkpoints/step-7");
  REQUIRE(checkpoint.step == 7);
  REQUIRE(is_intact(checkpoint));
  REQUIRE(checkpoint.engine_version == version());
  REQUIRE(checkpoint.engine_commit == git_commit());
  REQUIRE(open_checkpoint(run / "checkpoints/latest").path == run / "checkpoints/step-7");
}

TEST_CASE("the manifest lists each file with its size and checksum") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(7), 3);
  const auto manifest = nlohmann::json::parse(read_bytes(file_of(run, 7, "manifest.json")));
  REQUIRE(manifest["format"] == 1);
  REQUIRE(manifest["step"] == 7);
  REQUIRE(manifest["files"].size() == 3);
  for (const auto& [file, record] : manifest["files"].items()) {
    const std::string bytes = read_bytes(file_of(run, 7, file));
    Checksum checksum;
    checksum.update(bytes.data(), bytes.size());
    REQUIRE(record["bytes"] == bytes.size());
    REQUIRE(record["xxh3_128"] == checksum.hex());
  }
}

TEST_CASE("a run without checkpoints has no latest one") {
  const TempDir run;
  std::vector<std::string> warnings;
  REQUIRE_FALSE(find_latest_checkpoint(run.path(), &warnings));
  std::filesystem::create_directories(run / "checkpoints/.step-3.partial");
  std::filesystem::create_directories(run / "checkpoints/step-x");
  REQUIRE_FALSE(find_latest_checkpoint(run.path(), &warnings));
  REQUIRE(warnings.empty());
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-1"); },
                           {"there is no checkpoint", "step-1"});
  require_checkpoint_error([] { open_checkpoint(""); }, {"there is no checkpoint ''"});
  const std::string too_long = run / std::string(300, 'x');
  for (const std::string& path : {too_long, too_long + "/latest"}) {
    require_checkpoint_error([&] { open_checkpoint(path); }, {path, "too long"});
  }
}

TEST_CASE("a run folder in the place of a checkpoint is answered with the name of one") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(5), 2);
  require_checkpoint_error([&] { open_checkpoint(run.path()); },
                           {"is a run folder, not a checkpoint", run / "checkpoints/latest"});
  CHECK(open_checkpoint(run / "checkpoints/latest").step == 5);
}

TEST_CASE("the newest checkpoints are kept by count") {
  const TempDir run;
  for (const int64_t step : {5, 10, 15, 100}) save_checkpoint(run.path(), data_of_step(step), 2);
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-100", "step-15"});
  save_checkpoint(run.path(), data_of_step(110), 1);
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-110"});
  REQUIRE(find_latest_checkpoint(run.path(), nullptr)->step == 110);
  REQUIRE_THROWS_AS(save_checkpoint(run.path(), data_of_step(120), 0), CheckpointError);
}

TEST_CASE("after a resume from an earlier step, newest means saved last") {
  const TempDir run;
  for (const int64_t step : {10, 20, 30}) save_checkpoint(run.path(), data_of_step(step), 3);
  save_checkpoint(run.path(), data_of_step(15), 3);  // resumed from step 10
  REQUIRE(find_latest_checkpoint(run.path(), nullptr)->step == 15);
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-15", "step-20", "step-30"});
  save_checkpoint(run.path(), data_of_step(20), 3);
  REQUIRE(find_latest_checkpoint(run.path(), nullptr)->step == 20);
}

TEST_CASE("a checkpoint of a run in trouble neither removes nor outranks a sound one") {
  const TempDir run;
  const auto save = [&](int64_t step, bool in_trouble) {
    CheckpointData data = data_of_step(step);
    data.in_trouble = in_trouble;
    save_checkpoint(run.path(), data, 1);
  };
  const auto newest = [&] {
    std::vector<std::string> warnings;
    const auto checkpoint = find_latest_checkpoint(run.path(), &warnings);
    REQUIRE(is_intact(*checkpoint));
    return std::pair(checkpoint->step, warnings);
  };
  save(1, true);  // no sound one yet: better than nothing
  CHECK(folders(run) == std::vector<std::string>{"latest", "step-1-in-trouble"});
  CHECK(open_checkpoint(run / "checkpoints/latest").in_trouble);
  CHECK(newest() == std::pair(int64_t{1}, std::vector<std::string>{
                                              run / "checkpoints/step-1-in-trouble was saved by a "
                                                    "run in trouble; there is no sound one"}));
  save(2, false);
  CHECK(folders(run) == std::vector<std::string>{"latest", "step-2"});
  CHECK(newest() == std::pair(int64_t{2}, std::vector<std::string>{}));
  save(2, true);  // not even of the same step
  save(3, true);
  CHECK(folders(run) == std::vector<std::string>{"latest", "step-2", "step-3-in-trouble"});
  CHECK(read_bytes(run / "checkpoints/latest") == "step-2\n");
  CHECK(newest() ==
        std::pair(int64_t{2},
                  std::vector<std::string>{
                      run / "checkpoints/step-3-in-trouble was saved by a run in trouble; " +
                      (run / "checkpoints/step-2 is used instead")}));
  CHECK_FALSE(open_checkpoint(run / "checkpoints/step-2").in_trouble);
  CHECK(open_checkpoint(run / "checkpoints/step-3-in-trouble").in_trouble);
  save(4, false);
  CHECK(folders(run) == std::vector<std::string>{"latest", "step-4"});
}

TEST_CASE("a checkpoint of the same step is replaced") {
  const TempDir run;
  const bool can_exchange = GENERATE(true, false);
  const HookGuard hook([&](FileOp op, const std::string&) {
    return FileFault{op == FileOp::exchange && !can_exchange ? EINVAL : 0, false};
  });
  CheckpointData other = data_of_step(4);
  other.step = 9;
  save_checkpoint(run.path(), other, 3);
  REQUIRE_FALSE(is_intact(*find_latest_checkpoint(run.path(), nullptr)));
  save_checkpoint(run.path(), data_of_step(9), 3);
  REQUIRE(is_intact(*find_latest_checkpoint(run.path(), nullptr)));
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-9"});
}

TEST_CASE("what an interrupted save left behind is removed by the next one") {
  const TempDir run;
  std::filesystem::create_directories(run / "checkpoints/.step-3.partial");
  write_bytes(run / "checkpoints/.step-3.partial/model.safetensors", "half");
  write_bytes(run / "checkpoints/.latest.partial", "ste");
  save_checkpoint(run.path(), data_of_step(4), 3);
  REQUIRE(folders(run) == std::vector<std::string>{"latest", "step-4"});
}

TEST_CASE("damage to any file is found, and the checkpoint before is used") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(1), 3);
  save_checkpoint(run.path(), data_of_step(2), 3);
  const std::string file = GENERATE(from_range(kFiles));
  const std::string path = file_of(run, 2, file);
  const std::string intact = read_bytes(path);
  const auto check_refused = [&] {
    require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-2"); },
                             {run / "checkpoints/step-2"});
    std::vector<std::string> warnings;
    const auto checkpoint = find_latest_checkpoint(run.path(), &warnings);
    REQUIRE(checkpoint->step == 1);
    REQUIRE(is_intact(*checkpoint));
    REQUIRE(warnings.size() == 1);
    REQUIRE(warnings[0].find(run / "checkpoints/step-2") != std::string::npos);
    REQUIRE(warnings[0].find(run / "checkpoints/step-1 is used instead") != std::string::npos);
  };

  SECTION("truncated") {
    for (const size_t size : {size_t{0}, size_t{1}, intact.size() / 2, intact.size() - 2}) {
      write_bytes(path, intact.substr(0, size));
      check_refused();
    }
  }
  SECTION("longer") {
    write_bytes(path, intact + "x");
    check_refused();
  }
  SECTION("missing") {
    std::filesystem::remove(path);
    check_refused();
  }
  SECTION("a bit flipped") {
    const RngKey key{3};
    for (uint64_t i = 0; i < 40; ++i) {
      std::string flipped = intact;
      // The manifest's last two bytes are its brace and newline, whose loss is another section's.
      const size_t position = key.word(2 * i) % (intact.size() - 2);
      flipped[position] = static_cast<char>(flipped[position] ^ (1 << (key.word(2 * i + 1) % 8)));
      CAPTURE(position, intact[position], flipped[position]);
      write_bytes(path, flipped);
      check_refused();
    }
  }
}

TEST_CASE("messages about damage name the file, what was expected and what was found") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(2), 3);
  const std::string path = file_of(run, 2, "model.safetensors");
  const auto manifest = nlohmann::json::parse(read_bytes(file_of(run, 2, "manifest.json")));
  const std::string expected = manifest["files"]["model.safetensors"]["xxh3_128"];
  std::string bytes = read_bytes(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(path, bytes);
  Checksum actual;
  actual.update(bytes.data(), bytes.size());
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-2"); },
                           {path, "is damaged", expected, actual.hex()});
  // All are damaged now: starting afresh in silence would be worse than stopping.
  require_checkpoint_error([&] { find_latest_checkpoint(run.path(), nullptr); },
                           {"no checkpoint in", "start afresh with another --run-dir", path});
}

TEST_CASE("a manifest of another format is refused even if its checksum is right") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(2), 3);
  const std::string path = file_of(run, 2, "manifest.json");
  auto manifest = nlohmann::json::parse(read_bytes(path));
  manifest.erase("checksum");
  const auto reseal = [&] {
    const std::string body = manifest.dump();
    Checksum checksum;
    checksum.update(body.data(), body.size());
    auto sealed = manifest;
    sealed["checksum"] = checksum.hex();
    write_bytes(path, sealed.dump());
  };
  reseal();
  REQUIRE(open_checkpoint(run / "checkpoints/step-2").step == 2);  // the seal itself is right
  std::string reason;
  SECTION("format") {
    manifest["format"] = 2;
    reason = "format 2";
  }
  SECTION("a step before the first") {
    manifest["step"] = -3;
    reason = "step is -3; it must be a whole number from 0 to ";
  }
  SECTION("a number of saves that none can follow") {
    manifest["sequence"] = INT64_MAX;
    reason = "sequence is 9223372036854775807; it must be a whole number from 1 to ";
  }
  SECTION("half a step") {
    manifest["step"] = 2.5;
    reason = "step is 2.5";
  }
  SECTION("a size beyond all disks") {
    manifest["files"]["state.json"]["bytes"] = UINT64_MAX;
    reason = "state.json: bytes is 18446744073709551615";
  }
  SECTION("a file outside") {
    manifest["files"]["../latest"] = {{"bytes", 7}, {"xxh3_128", "0"}};
    reason = "outside";
  }
  SECTION("a file not listed") {
    manifest["files"].erase("state.json");
    reason = "does not list state.json";
  }
  SECTION("wrong type") {
    manifest["files"] = "none";
    reason = "no valid manifest";
  }
  SECTION("deep nesting") {
    for (int i = 0; i < 100; ++i) manifest = {{"a", manifest}};
    reason = "nested deeper";
  }
  reseal();
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-2"); }, {reason});
}

TEST_CASE("a forged manifest beside sound checkpoints is passed over, and later saves go on") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(2), 3);
  save_checkpoint(run.path(), data_of_step(3), 3);
  const std::string path = file_of(run, 3, "manifest.json");
  auto manifest = nlohmann::json::parse(read_bytes(path));
  manifest.erase("checksum");
  manifest["sequence"] = INT64_MAX;
  const std::string body = manifest.dump();
  Checksum checksum;
  checksum.update(body.data(), body.size());
  manifest["checksum"] = checksum.hex();
  write_bytes(path, manifest.dump());
  std::vector<std::string> warnings;
  REQUIRE(find_latest_checkpoint(run.path(), &warnings)->step == 2);
  REQUIRE(warnings.size() == 1);
  REQUIRE(warnings.front().find("sequence is 9223372036854775807") != std::string::npos);
  save_checkpoint(run.path(), data_of_step(4), 3);
  REQUIRE(find_latest_checkpoint(run.path(), nullptr)->step == 4);
}

TEST_CASE("a folder in the place of `latest` is an error that says what to do") {
  const TempDir run;
  std::filesystem::create_directories(run / "checkpoints/latest");
  require_checkpoint_error([&] { save_checkpoint(run.path(), data_of_step(2), 3); },
                           {"checkpoints/latest", "a folder is in the file's place: move it away"});
  REQUIRE(find_latest_checkpoint(run.path(), nullptr)->step == 2);
}

TEST_CASE("the config travels with a checkpoint, one without it opens as before") {
  const TempDir run;
  CheckpointData data = data_of_step(7);
  data.config_yaml = "task: byte_lm\n";
  save_checkpoint(run.path(), data, 3);
  REQUIRE(open_checkpoint(run / "checkpoints/step-7").config_yaml == "task: byte_lm\n");
  save_checkpoint(run.path(), data_of_step(8), 3);
  REQUIRE(open_checkpoint(run / "checkpoints/step-8").config_yaml.empty());
  write_bytes(file_of(run, 7, "config.yaml"), "task: word_lm\n");
  require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-7"); },
                           {"step-7/config.yaml is damaged"});
}

TEST_CASE("the average of the weights travels with a checkpoint, and is verified like all files") {
  const TempDir run;
  CheckpointData data = data_of_step(7);
  save_checkpoint(run.path(), data, 3);
  CHECK_FALSE(open_checkpoint(run / "checkpoints/step-7").average);
  data.step = 8;
  data.average = data_of_step(9).model;
  save_checkpoint(run.path(), data, 3);
  const LoadedCheckpoint checkpoint = open_checkpoint(run / "checkpoints/step-8");
  CHECK(same_tensors(checkpoint.model, data.model));
  REQUIRE(checkpoint.average);
  CHECK(same_tensors(*checkpoint.average, data.average));

  std::string bytes = read_bytes(file_of(run, 8, "average.safetensors"));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(file_of(run, 8, "average.safetensors"), bytes);
  CHECK_THROWS_WITH(open_checkpoint(run / "checkpoints/step-8"),
                    Catch::Contains("average.safetensors is damaged"));
}

TEST_CASE("a checkpoint under the name of another step is refused, under its user's name opened") {
  const TempDir run;
  save_checkpoint(run.path(), data_of_step(7), 3);
  std::filesystem::rename(run / "checkpoints/step-7", run / "checkpoints/step-9");
  for (const std::string end : {"", "/"}) {
    require_checkpoint_error([&] { open_checkpoint(run / "checkpoints/step-9" + end); },
                             {"step-9", "holds the checkpoint of step 7"});
  }
  std::filesystem::rename(run / "checkpoints/step-9", run / "best");
  REQUIRE(is_intact(open_checkpoint(run / "best")));
}

TEST_CASE("a run has checkpoints as soon as one was complete, damaged or not") {
  const TempDir run;
  REQUIRE_FALSE(has_checkpoints(run.path()));
  std::filesystem::create_directories(run / "checkpoints/.step-3.partial");
  REQUIRE_FALSE(has_checkpoints(run.path()));
  save_checkpoint(run.path(), data_of_step(7), 3);
  write_bytes(file_of(run, 7, "manifest.json"), "{");
  REQUIRE(has_checkpoints(run.path()));
}

TEST_CASE("the best checkpoint and those of round steps stay beside the newest") {
  const TempDir run;
  Retention keep(2);
  keep.every = 4;
  for (int64_t step = 1; step <= 9; ++step) {
    if (step == 3) keep.best = 3;
    save_checkpoint(run.path(), data_of_step(step), keep);
  }
  CHECK(list_directory(run / "checkpoints") ==
        std::vector<std::string>{"best", "latest", "step-3", "step-4", "step-8", "step-9"});
  CHECK(has_best_checkpoint(run.path()));
  CHECK(open_checkpoint(run.path(), "best").step == 3);
  CHECK(open_checkpoint(run.path(), "best").newest_step == 9);
  CHECK(open_checkpoint(run / "checkpoints/best").step == 3);
  CHECK_FALSE(names_weights_file(run / "checkpoints/best"));  // it names a folder
  CHECK(names_weights_file(run / "checkpoints/step-3/model.safetensors"));
  CHECK(open_checkpoint(run.path(), "latest").step == 9);
  CHECK(open_checkpoint(run.path(), "step-4").step == 4);
  require_checkpoint_error([&] { open_checkpoint(run.path(), "step-5"); },
                           {"has no checkpoint 'step-5'", "best, latest, step-3"});

  keep.best = 10;  // the one before is then as old as others
  save_checkpoint(run.path(), data_of_step(10), keep);
  CHECK(list_directory(run / "checkpoints") ==
        std::vector<std::string>{"best", "latest", "step-10", "step-4", "step-8", "step-9"});
  CHECK(open_checkpoint(run.path(), "best").step == 10);

  keep.best = 3;  // back to a state whose best checkpoint is gone
  save_checkpoint(run.path(), data_of_step(8), keep);
  CHECK_FALSE(has_best_checkpoint(run.path()));
  require_checkpoint_error([&] { open_checkpoint(run.path(), "best"); },
                           {"has no checkpoint 'best'", "train.keep_best"});
}

TEST_CASE("killed before `best` is written, a save is finished by the next resume") {
  const TempDir run;
  Retention keep(1);
  keep.best = 1;
  save_checkpoint(run.path(), data_of_step(1), keep);
  save_checkpoint(run.path(), data_of_step(2), keep);
  keep.best = 3;
  {
    const HookGuard hook([&](FileOp op, const std::string& path) {
      return FileFault{op == FileOp::open && path.ends_with("best.partial") ? EIO : 0, false};
    });
    REQUIRE_THROWS_AS(save_checkpoint(run.path(), data_of_step(3), keep), CheckpointError);
  }
  CHECK(open_checkpoint(run.path(), "best").step == 1);  // still whole
  RunFolder(run.path()).finish_save(run / "checkpoints/step-3", keep);
  CHECK(open_checkpoint(run.path(), "best").step == 3);
  CHECK(list_directory(run / "checkpoints") ==
        std::vector<std::string>{"best", "latest", "step-3"});
}
