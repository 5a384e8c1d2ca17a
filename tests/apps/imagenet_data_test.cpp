#include <filesystem>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "data/image_inputs.h"
#include "tasks/labeled_tree.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

TEST_CASE("ssa-data prepares, shows and verifies ImageNet") {
  const TempDir folder;
  const std::string input = folder / "in", output = folder / "out";
  write_tree(input, small_tree());
  write_tree(input, {{"val/n02/torn.JPEG", "torn"}});
  const std::vector<std::string> prepare = {"prepare",   "imagenet", "--input",   input,
                                            "--output",  output,     "--resize",  "16",
                                            "--quality", "80",       "--workers", "3"};
  const Finished refused = run_program("ssa-data", prepare);
  CHECK(refused.code == 3);
  CHECK(contains(refused.err, "val/n02/torn.JPEG"));
  CHECK_FALSE(std::filesystem::exists(output));

  std::vector<std::string> skipping = prepare;
  skipping.insert(skipping.end(), {"--on-bad-image", "skip"});
  const Finished prepared = run_program("ssa-data", skipping);
  CHECK(prepared.code == 0);
  CHECK(contains(prepared.err, "going on behind 6 of 8 images"));
  CHECK(contains(prepared.out, "1 damaged left out"));
  const Finished shown = run_program("ssa-data", {"info", output, "--verify"});
  CHECK(shown.code == 0);
  CHECK(contains(shown.out, "resized         shorter side at most 16 pixels, JPEG quality 80"));
  CHECK(contains(shown.out, "train           5 images\n"));
  CHECK(contains(shown.out, "split           custom split, resized to 16 pixels\n"));
  CHECK(contains(shown.out, "verified        yes"));
  const Finished as_json = run_program("ssa-data", {"info", output, "--json"});
  CHECK(json::parse(as_json.out)["splits"]["valid"] == std::vector<int>{5, 7});
  CHECK(contains(run_program("ssa-data", {"list"}).out, "imagenet     supported"));

  const Finished no_number = run_program(
      "ssa-data", {"prepare", "imagenet", "--input", input, "--output", output, "--split", "dev"});
  CHECK(no_number.code == 2);
  flip_bit(output + "/names.bin");
  const Finished damaged = run_program("ssa-data", {"info", output, "--verify"});
  CHECK(damaged.code == 3);
  CHECK(contains(damaged.err, "Prepare the data set again"));
}

TEST_CASE(
    "a classifier's score of part of a split says that it is spread, and nats what they are") {
  const LabeledTree tree;
  write_bytes(tree.dir / "c.yaml", tree.yaml());
  const std::string run = tree.dir / "run";
  REQUIRE(run_program("ssa-train", {"--quiet", "--config", tree.dir / "c.yaml", "--run-dir", run,
                                    "--set", "train.steps=2"})
              .code == 0);
  const Finished scored = run_program("ssa-eval", {"--run", run, "--mode", "ensemble", "--samples",
                                                   "2", "--split", "valid", "--max-tokens", "3"});
  CAPTURE(scored.err);
  REQUIRE(scored.code == 0);
  CHECK(contains(scored.out, "scored on: 3 of 7 in the split, evenly spread"));
  const json score = json::parse(read_bytes(run + "/eval-ensemble-valid.samples-2.evenly-3.json"));
  CHECK(score["differences"] == json{"3 of 7 in the split, evenly spread"});
  // The spread is that of the losses, since accuracy does not follow from them.
  const std::string nats = fmt::format("spread by {:.4f} nats;", score["spread"].get<double>());
  CHECK(contains(scored.out, nats));
}
