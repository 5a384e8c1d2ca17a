#include <filesystem>

#include <nlohmann/json.hpp>

#include "apps/child_process.h"
#include "data/image_inputs.h"
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
