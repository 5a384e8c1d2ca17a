// What a score is a score of: ssa-eval's files in the run folder, and who takes them for the run's.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ssa/data/token_dataset.h"
#include "ssa/sweep/point_state.h"

#include "apps/child_process.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// A run of two steps that can be scored.
struct ScoredRun : AppRun {
  std::string folder = dir / "run";

  ScoredRun() { REQUIRE(train("run", {"--quiet", "--set", "train.steps=2"}).code == 0); }
  Finished score(const Overrides& more) const {
    return run_program("ssa-eval", Overrides{"--run", folder, "--mode", "renorm"} + more);
  }
  json stored(const std::string& file = "eval-renorm-test.json") const {
    return json::parse(read_bytes(folder + "/" + file));
  }
  std::vector<std::string> scores() const {
    std::vector<std::string> names = list_directory(folder);
    std::erase_if(names, [](const std::string& name) { return !name.starts_with("eval-"); });
    return names;
  }
};

/// Root may write anywhere. While this lives, what root starts has no more rights than nobody.
/// The real user changes too: the kernel guards a process whose two users differ from being traced,
/// and LeakSanitizer, which traces its own process at the end, would fail it.
class AsNobody {
 public:
  AsNobody() {
    if (root_) REQUIRE(::setresuid(kNobody, kNobody, 0) == 0);
  }
  ~AsNobody() {
    if (root_ && ::setresuid(0, 0, 0) != 0) std::abort();
  }

 private:
  static constexpr uid_t kNobody = 65534;
  bool root_ = ::geteuid() == 0;
};

}  // namespace

TEST_CASE("a score says which weights, data, windows and machine it is of") {
  const ScoredRun run;
  REQUIRE(run.score({"--set", "eval.batch_size=3"}).code == 0);
  const json score = run.stored();
  CHECK(score["differences"].empty());
  CHECK(score["overrides"] == json{"eval.batch_size=3"});
  CHECK(score["step"] == 2);
  CHECK(score["tokens"] == 300);
  CHECK(score["split_tokens"] == 300);
  CHECK(score["window"] == 32);
  CHECK(score["overlap"] == 16);
  CHECK(score["data"]["name"] == "text.txt");
  CHECK(score["data"]["path"] == run.text_path);
  CHECK(score["data"]["bytes"] == 6000);
  CHECK(score["engine"].contains("commit"));
  CHECK_FALSE(score["device"].get<std::string>().empty());
}

TEST_CASE("the moving average of the weights is scored where there is one, and said to be") {
  const ScoredRun run;
  REQUIRE(run.score({}).code == 0);
  CHECK(run.stored()["weights"] == "trained");
  const Finished none = run.score({"--weights", "average"});
  CHECK(none.code == 2);
  CHECK(contains(none.err, "--weights average"));

  REQUIRE(run.train("run", {"--quiet", "--resume", "auto", "--set", "train.steps=4",
                            "train.ema_decay=0.9"})
              .code == 0);
  const Finished scored = run.score({});
  CHECK(scored.code == 0);
  CHECK(contains(scored.err, "using the moving average of its weights"));
  const json average = run.stored();
  CHECK(average["weights"] == "average");
  CHECK(average["differences"].empty());

  REQUIRE(run.score({"--weights", "trained"}).code == 0);
  CHECK(run.stored() == average);  // the run's own score stays
  const json trained = run.stored("eval-renorm-test.trained-weights.json");
  CHECK(trained["weights"] == "trained");
  CHECK(trained["loss"] != average["loss"]);
  CHECK(trained["differences"] == json{"the trained weights, not their moving average"});
  REQUIRE(run.score({"--set", "eval.weights=trained"}).code == 0);
  CHECK(run.stored("eval-renorm-test.trained-weights.json")["loss"] == trained["loss"]);
}

TEST_CASE("a score of data whose path is not UTF-8 is written, and is the run's own") {
  const ScoredRun run;
  const std::string path = run.dir / "text-\xff.txt";
  std::filesystem::copy_file(run.text_path, path);
  REQUIRE(run.train("run",
                    {"--quiet", "--resume", "auto", "--set", "train.steps=3", "data.path=" + path})
              .code == 0);
  const Finished scored = run.score({"--json", "-"});
  CAPTURE(scored.err);
  REQUIRE(scored.code == 0);
  const json score = json::parse(scored.out);  // throws for bytes that are not UTF-8
  CHECK(contains(score["data"]["path"].get<std::string>(), "text-\xef\xbf\xbd.txt"));
  CHECK(score["differences"].empty());
  CHECK(run.stored() == score);
}

TEST_CASE("a score of anything but the run's own has a file of its own") {
  const ScoredRun run;
  REQUIRE(run.score({}).code == 0);
  const json own = run.stored();
  write_bytes(run.dir / "other.txt", sample_text(6000, 4));  // as long as the run's text
  const std::string checksum = scan(TokenDataset::open(run.dir / "other.txt")).checksum;
  struct Other {
    Overrides options;
    std::string file, difference;
  };
  const std::vector<Other> others = {
      {{"--max-tokens", "64"}, "eval-renorm-test.first-64.json", "the first 64 of 300"},
      {{"--set", "data.path=" + (run.dir / "other.txt")},
       "eval-renorm-test.data-other.txt-" + checksum + ".json",
       "data other.txt (6000 bytes with checksum " + checksum + ")"},
      {{"--set", "eval.length=16", "eval.overlap=8"},
       "eval-renorm-test.eval.length-16.eval.overlap-8.json",
       "eval.length: there 32, now 16"},
      {{"--set", "ssa.kind=none"},
       "eval-renorm-test.ssa.kind-none.json",
       "ssa.kind: there local, now none"},
      {{"--mode", "ensemble", "--samples", "3", "--max-tokens", "64"},
       "eval-ensemble-test.samples-3.first-64.json",
       "the first 64 of 300"}};
  std::vector<std::string> files = {"eval-renorm-test.json"};
  for (const Other& other : others) {
    CAPTURE(other.file);
    const Finished scored = run_program("ssa-eval", Overrides{"--run", run.folder} + other.options);
    CHECK(scored.code == 0);
    CHECK(contains(scored.out, "not what the run itself is scored on: " + other.difference));
    CHECK(contains(scored.err, other.file));
    const json score = run.stored(other.file);
    CHECK(contains(score["differences"][0].get<std::string>(), other.difference));
    files.push_back(other.file);
  }
  std::sort(files.begin(), files.end());
  CHECK(run.scores() == files);
  CHECK(run.stored() == own);
  CHECK(score_of(run.folder, TaskKind::byte_lm, EvalMode::renorm) ==
        own["bits_per_byte"].get<double>());

  // The newest checkpoint is damaged: the one before it is no score of the run.
  flip_bit(run.folder + "/checkpoints/step-2/model.safetensors");
  CHECK(run.score({}).code == 0);
  CHECK(run.stored("eval-renorm-test.step-1.json")["differences"][0] == "step 1, the newest is 2");
  CHECK(run.stored() == own);
}

TEST_CASE("evaluation refuses keys that make another function of the weights") {
  const ScoredRun run;
  const Finished scored = run.score({"--set", "model.heads=4"});
  CHECK(scored.code == 2);
  CHECK(contains(scored.err, "model.heads: there 2, now 4"));
  CHECK(run.scores().empty());
  // A config.yaml that was changed by hand, too.
  std::string config = read_bytes(run.folder + "/config.yaml");
  config.replace(config.find("heads: 2"), 8, "heads: 4");
  write_bytes(run.folder + "/config.yaml", config);
  for (const Overrides& command :
       {Overrides{"ssa-eval", "--run", run.folder},
        Overrides{"ssa-generate", "--run", run.folder, "--length", "1"}}) {
    const Finished other =
        run_program(command.front(), Overrides(command.begin() + 1, command.end()));
    CHECK(other.code == 2);
    CHECK(contains(other.err, "model.heads: there 2, now 4"));
  }
}

TEST_CASE("evaluations of one run at the same time do not get in each other's way") {
  const ScoredRun run;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 6; ++i) {
      children.push_back(std::make_unique<Child>(
          "ssa-eval", Overrides{"--run", run.folder, "--mode", "renorm", "--quiet"}));
    }
    for (const auto& child : children) {
      const Finished finished = child->wait();
      CHECK(finished.code == 0);
      CHECK(finished.err.empty());
    }
    CHECK(run.stored()["tokens"] == 300);
    CHECK(run.scores() == Overrides{"eval-renorm-test.json"});
  }
}

TEST_CASE("a run that cannot be written is scored all the same, with a warning") {
  const ScoredRun run;
  std::filesystem::permissions(run.folder, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::remove);
  for (const auto who : {std::filesystem::perms::group_exec, std::filesystem::perms::others_exec}) {
    std::filesystem::permissions(run.dir.path(), who, std::filesystem::perm_options::add);
  }
  const Finished scored = [&] {
    const AsNobody nobody;
    return run.score({});
  }();
  std::filesystem::permissions(run.folder, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  CAPTURE(scored.err);
  CHECK(scored.code == 0);
  CHECK(contains(scored.out, "test renorm of step 2: "));
  CHECK(contains(scored.err, "not stored there"));
  CHECK(run.scores().empty());
}

TEST_CASE("a score is stored with the run though its JSON cannot go where it should") {
  const ScoredRun run;
  const Finished scored = run.score({"--json", "/dev/full"});
  CHECK(scored.code == 2);
  CHECK(contains(scored.err, "/dev/full: cannot be written"));
  CHECK(run.stored()["step"] == 2);
}

TEST_CASE("numbers of tokens and seeds cannot be negative") {
  const ScoredRun run;
  const Finished tokens = run.score({"--max-tokens", "-1"});
  CHECK(tokens.code == 2);
  CHECK(contains(tokens.err, "--max-tokens"));
  const Finished seed =
      run_program("ssa-generate", {"--run", run.folder, "--length", "1", "--seed", "-1"});
  CHECK(seed.code == 2);
  CHECK(contains(seed.err, "--seed"));
}

TEST_CASE("an ensemble of a model that samples nothing is warned of") {
  const AppRun run;
  REQUIRE(run.train("dense", {"--quiet", "--set", "train.steps=2", "ssa.kind=none"}).code == 0);
  const Overrides ensemble = {"--run", run.dir / "dense", "--mode", "ensemble", "--samples", "2"};
  const Finished scored = run_program("ssa-eval", ensemble);
  CHECK(scored.code == 0);
  CHECK(contains(scored.err, "ssa.kind is none"));
  CHECK(contains(run_program("ssa-generate", ensemble + Overrides{"--length", "1"}).err,
                 "ssa.kind is none"));
}
