#include <filesystem>

#include <catch2/catch.hpp>

#include "config/config_test_support.h"
#include "support/files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// A folder of config files.
class ConfigFolder {
 public:
  std::string write(const std::string& file, const std::string& text) const {
    const std::string path = root_ / file;
    fs::create_directories(fs::path(path).parent_path());
    write_bytes(path, text);
    return path;
  }

  /// The message of load_config(), with this folder's path taken out.
  std::string problem_in(const std::string& path) const {
    try {
      load_config(path);
      return {};
    } catch (const ConfigError& error) {
      std::string text = error.what();
      const std::string prefix = root_.path() + "/";
      for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) {
        text.erase(at, prefix.size());
      }
      return text;
    }
  }

 private:
  TempDir root_;
};

}  // namespace

TEST_CASE("an including file wins key by key", "[config]") {
  const ConfigFolder folder;
  folder.write("base/a.yaml", kRequired + "train: {steps: 5, seed: 9}\nssa: {sigma: 0.3}\n");
  folder.write("base/b.yaml", "include: a.yaml\ntrain: {steps: 6}\nssa: {sigma: {last: 0.4}}\n");
  const Config config =
      load_config(folder.write("c.yaml", "train: {optimizer: {lr: 0.5}}\ninclude: base/b.yaml\n"),
                  {"train.seed=2"});
  CHECK(config.task == TaskKind::byte_lm);
  CHECK(config.train.steps == 6);
  CHECK(config.train.seed == 2);
  CHECK(config.train.optimizer.lr == 0.5);
  CHECK(config.ssa.sigma == SigmaConfig{0.3, 0.4});
}

TEST_CASE("problems name the file that has them", "[config]") {
  const ConfigFolder folder;
  folder.write("base.yaml",
               "task: byte_lm\nmodel: {layers: 3}\ndata: {path: d}\ntrain: {stepz: 5}\n");
  CHECK(folder.problem_in(folder.write("c.yaml", "include: base.yaml\n\nssa: {layers: 4}\n")) ==
        "base.yaml:4: train.stepz: unknown key; did you mean train.steps?\n"
        "c.yaml:3: ssa.layers: ssa.layers 4 is more than model.layers 3; valid: 0 (all) to 3");
}

TEST_CASE("includes that cannot be followed are problems", "[config]") {
  const ConfigFolder folder;
  CHECK(folder.problem_in(folder.write("self.yaml", kRequired + "include: ./self.yaml\n")) ==
        "self.yaml:3: include: self.yaml includes itself, directly or through others");
  folder.write("one.yaml", "include: two.yaml\n");
  folder.write("two.yaml", "include: sub/../one.yaml\n");
  CHECK(folder.problem_in(folder.write("start.yaml", "include: one.yaml\n")) ==
        "two.yaml:1: include: one.yaml includes itself, directly or through others");
  CHECK(folder.problem_in(folder.write("c.yaml", kRequired + "include: gone.yaml\n")) ==
        "c.yaml:3: include: gone.yaml cannot be read: No such file or directory");
  CHECK(folder.problem_in(folder.write("c.yaml", "include: [a, b]\n")) ==
        "c.yaml:1: include: expected the path of one file, got a list");
  CHECK(
      folder.problem_in(folder.write("c.yaml", "include: .\n")).starts_with("c.yaml:1: include: "));
  for (int i = 0; i < 40; ++i) {
    folder.write(fmt::format("{}.yaml", i), fmt::format("include: {}.yaml\n", i + 1));
  }
  CHECK(folder.problem_in(folder.write("c.yaml", "include: 0.yaml\n")) ==
        "30.yaml:1: include: more than 32 files include each other");
  folder.write("31.yaml", kRequired);
  CHECK(folder.problem_in(folder.write("c.yaml", "include: 1.yaml\n")).empty());
  folder.write("broken.yaml", "a: [\n");
  CHECK(folder.problem_in(folder.write("c.yaml", "include: broken.yaml\n")) ==
        "broken.yaml:2: not valid YAML: end of sequence flow not found");
}
