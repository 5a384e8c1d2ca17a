// The bits of two configs in the style of the published ones, made small: the losses of eight
// steps, of renorm and of an ensemble of three. Users who repeat a run rely on them: a change that
// is not meant to change results must not change any of these bits. They are computed on the
// reference device, whose sums do not depend on instruction sets, caches or libraries.

#include <bit>
#include <fstream>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// Overrides that make a step take milliseconds, with several micro-batches, all kinds of random
/// draws, and dense attention in the last two steps.
Overrides small(const std::string& data_path) {
  return {"data.path=" + data_path,
          "data.length=32",
          "eval.length=32",
          "eval.overlap=16",
          "model.layers=2",
          "ssa.layers=2",
          "model.width=24",
          "model.ffn_width=48",
          "model.heads=3",
          "model.dropout=0.1",
          "model.attention_dropout=0.1",
          "model.activation_dropout=0.1",
          "model.softmax_dropout=0.1",
          "ssa.finetune_fraction=0.25",
          "ssa.sigma={first: 0.1, last: 0.3}",
          "train.steps=8",
          "train.batch_size=4",
          "train.micro_batch=2",
          "train.schedule.warmup_steps=2",
          "train.log_every=1",
          "train.eval_every=0"};
}

/// The losses of a run in the order of its metrics, then of renorm and ensemble, as the bits of
/// f64.
std::vector<uint64_t> bits_of(const std::string& config, const Overrides& overrides) {
  const TempDir dir;
  const std::string run = dir / "run";
  std::vector<std::string> arguments = {
      "--config",  fmt::format("{}/configs/{}.yaml", SSA_SOURCE_DIR, config),
      "--run-dir", run,
      "--device",  "reference"};
  for (const std::string& one : overrides) {
    arguments.insert(arguments.end(), {"--set", one});
  }
  const Finished trained = run_program("ssa-train", arguments);
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  std::vector<uint64_t> bits;
  std::ifstream metrics(run + "/metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    bits.push_back(std::bit_cast<uint64_t>(json::parse(line)["loss"].get<double>()));
  }
  for (const auto& [mode, samples] : {std::pair{"renorm", "1"}, std::pair{"ensemble", "3"}}) {
    const Finished scored =
        run_program("ssa-eval", {"--run", run, "--mode", mode, "--samples", samples, "--json", "-",
                                 "--device", "reference"});
    INFO(scored.err);
    REQUIRE(scored.code == 0);
    const json result = json::parse(scored.out);
    bits.push_back(std::bit_cast<uint64_t>(result["loss"].get<double>()));
    for (const json& point : result["curve"]) {
      bits.push_back(std::bit_cast<uint64_t>(point["value"].get<double>()));
      bits.push_back(std::bit_cast<uint64_t>(point["stderr"].get<double>()));
    }
  }
  return bits;
}

/// The bits as text, to be pasted here if a change is meant to change results.
std::string listed(const std::vector<uint64_t>& bits) {
  std::string text;
  for (const uint64_t word : bits) text += fmt::format("0x{:016x}, ", word);
  return text;
}

}  // namespace

TEST_CASE("the bits of enwik8_mini_s6_l4 have not changed") {
  const TinyRun text;
  const auto bits = bits_of("enwik8_mini_s6_l4", small(text.text_path));
  INFO(listed(bits));
  CHECK(bits == std::vector<uint64_t>{0x4017d9486ce00000, 0x40173e2bdd200000, 0x40172e39eee00000,
                                      0x40157d64f7c00000, 0x40155a7487400000, 0x40148d74f2200000,
                                      0x40147fee5a000000, 0x4014dbb90f000000, 0x4013e7e003258bf2,
                                      0x40140626464b17e5, 0x401438938583a060, 0x401d6981b1cd8894,
                                      0x3fb54b5988ff111c, 0x401d460fde676173, 0x3fb5464b6dec54ec,
                                      0x401d2c388c773499, 0x3fb54d6ea14e8eb0});
}

TEST_CASE("the bits of wikitext2_mini_s6_l4 have not changed") {
  const WordRun words;
  const auto bits = bits_of("wikitext2_mini_s6_l4",
                            small(words.words_path) + Overrides{"model.embedding.cutoffs=[4, 9]",
                                                                "model.embedding.factor=2"});
  INFO(listed(bits));
  CHECK(bits == std::vector<uint64_t>{0x40185e88f2180000, 0x4015e32124ce0000, 0x4015038f05d80000,
                                      0x40123b214f340000, 0x40157ab834280000, 0x40126b56d7800000,
                                      0x401328d5b6fc0000, 0x40123478d5260000, 0x401159fc91c893cb,
                                      0x400e214ce46a7498, 0x400e391b5fd79489, 0x4049f7dec587e37e,
                                      0x401c29309a10123e, 0x40473af92b538cd1, 0x401ac61e2be52b88,
                                      0x4045dc998a431163, 0x4019fb765ee7795c});
}
