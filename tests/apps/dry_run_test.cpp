// What ssa-train --dry-run tells about a run on other machines.

#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

Finished dry_run(const std::string& config, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--config", config, "--dry-run"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program("ssa-train", arguments);
}

json dry_run_json(const std::string& config, std::vector<std::string> more) {
  more.insert(more.end(), {"--json", "-"});
  const Finished finished = dry_run(config, more);
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  return json::parse(finished.out);
}

const std::vector<std::string> kCluster = {"--ranks", "2",        "--device-memory",
                                           "80GiB",   "--tflops", "0.5"};

}  // namespace

TEST_CASE("a dry run answers for the machines that are meant, not for this one") {
  const AppRun run;
  const json known = dry_run_json(run.config_path, kCluster);
  CHECK(known["ranks"] == 2);
  CHECK(known["device_memory_bytes"] == int64_t{80} << 30);
  CHECK(known["examples_per_rank"] == known["examples_per_step"].get<int>() / 2);
  CHECK(known["largest_micro_batch"] == known["examples_per_rank"]);
  CHECK(known["fits"] == true);
  CHECK(known["saved_by_sharding_bytes"].get<int64_t>() > 0);
  CHECK(known["rank_tflops"] == 0.5);
  CHECK(known["rank_tflops_measured"] == false);
  const double step = known["step_seconds"];
  CHECK(known["train_seconds"].get<double>() == Approx(step * known["steps"].get<double>()));
  CHECK(known["data"]["found"] == true);
  const double examples = known["steps"].get<double>() * known["examples_per_step"].get<double>();
  CHECK(known["epochs"].get<double>() ==
        Approx(examples / known["examples_per_epoch"].get<double>()));

  const Finished text = dry_run(run.config_path, kCluster);
  REQUIRE(text.code == 0);
  for (const char* part :
       {"of 80.0 GiB on each of 2 ranks", "distributed.shard_optimizer would save",
        "500.0 GFLOP/s on each of 2 ranks", "bytes) a step", "epochs of", "checkpoints"}) {
    CAPTURE(part);
    CHECK(contains(text.out, part));
  }
  std::vector<std::string> small = kCluster;
  small[3] = "1MiB";
  small.insert(small.end(), {"--set", "model.width=256"});
  const std::string none = dry_run(run.config_path, small).out;
  CHECK(contains(none, "none fits"));
  CHECK(contains(none,
                 "train.activation_checkpointing: block, train.precision: bf16, "
                 "distributed.shard_optimizer: true, a shorter data.length"));
  small.insert(small.end(), {"train.precision=bf16", "train.activation_checkpointing=block",
                             "distributed.shard_optimizer=true"});
  CHECK(contains(dry_run(run.config_path, small).out, "need less:\n                a shorter"));
}

TEST_CASE("a dry run without the data says what it assumes, or what it needs") {
  const AppRun run;
  const auto with = [&](const std::string& key_values) {
    std::vector<std::string> more = kCluster;
    more.insert(more.end(), {"--set", "data.path=" + (run.dir / "no_such_data")});
    std::istringstream words(key_values);
    for (std::string word; words >> word;) more.push_back(word);
    return more;
  };
  const Finished bytes = dry_run(run.config_path, with(""));
  REQUIRE(bytes.code == 0);
  CHECK(contains(bytes.out, "no data at"));
  CHECK(contains(bytes.out, "counted with all 256 bytes"));

  const json short_text = dry_run_json(run.config_path, {"--set", "data.length=100000"});
  CHECK(short_text["data"]["found"] == true);
  CHECK(short_text["epochs"].is_null());

  const std::string words = "task=word_lm data.name=wikitext2";
  const Finished published = dry_run(run.config_path, with(words));
  CHECK(contains(published.out, "a vocabulary of 33278, published for wikitext2"));
  const json tokens = dry_run_json(run.config_path, with("task=token_lm data.vocabulary=500"));
  CHECK(tokens["vocabulary"] == 500);
  CHECK(tokens["data"]["found"] == false);
  CHECK(tokens["epochs"].is_null());

  const Finished epochs = dry_run(run.config_path, with("train.epochs=2"));
  CHECK(epochs.code == 3);
  CHECK(contains(epochs.err, "no_such_data"));
  CHECK(contains(epochs.err, "--set train.epochs=0"));
}

TEST_CASE("a dry run knows the size of checkpoints") {
  const AppRun run;
  const std::vector<std::string> larger = {"--set", "model.width=64", "model.ffn_width=256",
                                           "train.steps=2", "train.ema_decay=0.9"};
  REQUIRE(run.train("run", larger).code == 0);
  const std::string folder = run.dir / "run/checkpoints/step-2/";
  double bytes = 0;
  for (const char* file : {"model", "average", "optimizer"}) {
    bytes += static_cast<double>(read_bytes(folder + file + ".safetensors").size());
  }
  const json known = dry_run_json(run.config_path, larger);
  CHECK(known["checkpoint_bytes"].get<double>() == Approx(bytes).epsilon(0.03));
}

TEST_CASE("options of a dry run that make no sense are code 2") {
  const AppRun run;
  const auto refused = [&](const std::vector<std::string>& more) {
    const Finished finished = dry_run(run.config_path, more);
    CHECK(finished.code == 2);
    return finished.err;
  };
  CHECK(contains(refused({"--ranks", "3"}), "numbers of ranks that can: 1, 2, 4"));
  CHECK(contains(refused({"--device-memory", "80"}), "as in 80GiB"));
  CHECK(contains(refused({"--device-memory", "80Gigs"}), "--device-memory"));
  for (const std::string size : {"0", "-1GiB", "infGiB"}) {
    CHECK(contains(refused({"--device-memory", size}), "should be a size such as 80GiB"));
  }
  for (const std::string rate : {"0", "-3", "nan", "inf", "x"}) {
    CHECK(contains(refused({"--tflops", rate}), "'" + rate + "' should be a number above 0"));
  }
  CHECK(contains(refused({"--device", "gpu"}), "there are auto, cpu, cuda and reference"));
  const Finished training = run.train("run", {"--ranks", "2"});
  CHECK(training.code == 2);
  CHECK(contains(training.err, "--dry-run"));
  CHECK_FALSE(path_exists(run.dir / "run"));
}
