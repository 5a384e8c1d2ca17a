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
                                      0x4015726a08c00000, 0x401532368e000000, 0x4014415c64200000,
                                      0x4014124dffc00000, 0x40144ce3d1e00000, 0x401352ec54444444,
                                      0x40136d0e22222222, 0x4013a10c9f283455, 0x401c875f446a9327,
                                      0x3fb494106a136c49, 0x401c68e3672974a8, 0x3fb4cb823bef6490,
                                      0x401c519d1c20b374, 0x3fb4d69e77fdc840});
}

TEST_CASE("the bits of wikitext2_mini_s6_l4 have not changed") {
  const WordRun words;
  const auto bits = bits_of("wikitext2_mini_s6_l4",
                            small(words.words_path) + Overrides{"model.embedding.cutoffs=[4, 9]",
                                                                "model.embedding.factor=2"});
  INFO(listed(bits));
  CHECK(bits == std::vector<uint64_t>{0x40185e88f2180000, 0x4015e32124ce0000, 0x4015038f05d80000,
                                      0x40122f45d5280000, 0x40154d7cda300000, 0x4012123729600000,
                                      0x40127b6751fc0000, 0x40117074912a0000, 0x40108c16258151d0,
                                      0x400d06f55311be19, 0x400d204d48a3ad13, 0x4046abdf575cb745,
                                      0x4015b0d6f35c498a, 0x404441e910125628, 0x40148dec130c6bab,
                                      0x40430f85caa42383, 0x40143c50f16c7a29});
}
