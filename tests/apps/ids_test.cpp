// Ids of another program's tokenizer, from its file to a text.

#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/data/token_dataset.h"

#include "apps/child_process.h"
#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// The letters of the tiny run's text as ids of two bytes: 0 is a newline, 1 a space, 2 an `a`.
struct IdFiles : TinyRun {
  std::string config_path = dir / "ids.yaml";
  std::string ids_path = dir / "letters";

  IdFiles() {
    for (const char* name : {"train.bin", "val.bin"}) {
      std::string bytes;
      for (const char c : sample_text(name[0] == 't' ? 4000 : 900)) {
        bytes += static_cast<char>(c == '\n' ? 0 : c == ' ' ? 1 : c - 'a' + 2);
        bytes += '\0';
      }
      write_bytes(dir / name, bytes);
    }
    std::string names = "\\n\n \n";
    for (char c = 'a'; c <= 'z'; ++c) names += std::string(1, c) + "\n";
    write_bytes(dir / "names.txt", names);
    std::string yaml = tiny_yaml(ids_path);
    write_bytes(config_path, yaml.replace(yaml.find("byte_lm"), 7, "token_lm")
                                 .replace(yaml.find("name: words, "), 13, ""));
  }
  Finished prepare(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {
        "prepare", "ids",          "--input", dir / "train.bin", dir / "val.bin", "--dtype",
        "u16",     "--vocabulary", "28",      "--output",        ids_path};
    words.insert(words.end(), more.begin(), more.end());
    return run_program("ssa-data", words);
  }
  Finished train(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"--config", config_path, "--run-dir", dir / "run"};
    words.insert(words.end(), more.begin(), more.end());
    return run_program("ssa-train", words);
  }
};

}  // namespace

TEST_CASE("a model of ids is trained, scored, and writes ids") {
  const IdFiles files;
  const Finished prepared = files.prepare({});
  REQUIRE(prepared.code == 0);
  CHECK(contains(prepared.out, "vocabulary      28\n"));
  CHECK(contains(prepared.out, "test            none\n"));
  CHECK(contains(prepared.err, "no file is named test"));
  const Finished trained = files.train();
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(contains(trained.err, "vocabulary of 28 ids"));
  CHECK(contains(trained.err, "perplexity "));
  const std::string run = files.dir / "run";
  CHECK(contains(read_bytes(run + "/config.yaml"), "name: letters\n"));

  const Finished scored = run_program("ssa-eval", {"--run", run, "--split", "valid"});
  CHECK(scored.code == 0);
  CHECK(contains(scored.out, "perplexity"));
  const Finished no_test = run_program("ssa-eval", {"--run", run});
  CHECK(no_test.code == 3);
  CHECK(contains(no_test.err, "has no test split"));

  write_bytes(files.dir / "ids.txt", "1 2 28 3\n");
  const Finished unknown =
      run_program("ssa-eval", {"--run", run, "--mode", "renorm", "--text", files.dir / "ids.txt"});
  CHECK(unknown.code == 3);
  CHECK(contains(unknown.err, "--text: ids.txt: '28' is no id"));

  std::filesystem::remove_all(files.ids_path);
  const Finished written =
      run_program("ssa-generate", {"--run", run, "--length", "4", "--prompt-ids", "2, 3"});
  CHECK(written.code == 0);
  CHECK(written.out.starts_with("2 3 "));
  CHECK(Vocabulary::ids(28, 0).encode(written.out).size() == 6);
  CHECK(run_program("ssa-generate", {"--run", run, "--length", "4", "--prompt", "the"}).code == 2);
  const Finished beyond =
      run_program("ssa-generate", {"--run", run, "--length", "4", "--prompt-ids", "2,28"});
  CHECK(beyond.code == 2);
  CHECK(contains(beyond.err, "'28' is no id; give numbers from 0 to 27"));
  write_bytes(files.dir / "prompts.txt", "2,3\n4,28\n");
  const Finished of_file = run_program(
      "ssa-generate", {"--run", run, "--length", "4", "--prompts", files.dir / "prompts.txt"});
  CHECK(of_file.code == 2);
  CHECK(contains(of_file.err, "prompts.txt, line 2: '28' is no id"));
  CHECK_THROWS_WITH(Vocabulary::ids(28, 0).encode("1,,2"),
                    Catch::Contains("'1,,2': an id is missing"));
  CHECK_THROWS_WITH(Vocabulary::ids(28, 0).encode(" ,2"), Catch::Contains("an id is missing"));
}

TEST_CASE("with names a model of ids writes text") {
  const IdFiles files;
  REQUIRE(files.prepare({"--names", files.dir / "names.txt"}).code == 0);
  REQUIRE(files.train().code == 0);
  const Finished written = run_program(
      "ssa-generate", {"--run", files.dir / "run", "--length", "20", "--prompt-ids", "21,9,6"});
  CHECK(written.code == 0);
  CHECK(written.out.starts_with("the"));
  CHECK(written.out.size() == 3 + 20 + 1);
}

TEST_CASE("data of another kind than the task's are refused with what helps") {
  const IdFiles files;
  const auto refusal = [&](const std::string& change) {
    const Finished refused = run_program("ssa-train", {"--config", files.config_path, "--run-dir",
                                                       files.dir / "run", "--set", change});
    CHECK(refused.code == 2);
    return refused.err;
  };
  CHECK(contains(refusal("data.path=" + files.text_path), "ssa-data prepare ids"));
  REQUIRE(files.prepare({}).code == 0);
  CHECK(contains(refusal("task=word_lm"), "can have task: token_lm"));
  CHECK(contains(refusal("data.vocabulary=29"), "has 28 tokens"));
}

TEST_CASE("everything may be train: then nothing is validated, and that is said") {
  const IdFiles files;
  REQUIRE(files.prepare({"--split", "none"}).code == 0);
  const Finished trained = files.train({"--set", "train.keep_best=true", "train.patience=1"});
  CAPTURE(trained.err);
  CHECK(trained.code == 0);
  CHECK(contains(trained.err, "the training is not validated"));
  for (const char* key : {"keep_best", "patience"}) {
    CHECK(contains(trained.err, "warning: train." + std::string(key) + " has no effect"));
  }
  CHECK_FALSE(contains(trained.err, "evaluate_first"));
  CHECK_FALSE(contains(trained.err, "valid loss"));
  CHECK(path_exists(files.dir / "run/report.html"));
}

TEST_CASE("a run is called by its data, whatever the config was written for") {
  const IdFiles files;
  std::string yaml = tiny_yaml(files.text_path);
  yaml.replace(yaml.find("name: words"), 11, "name: enwik8");
  write_bytes(files.config_path, yaml);
  REQUIRE(files.train().code == 0);
  CHECK(contains(read_bytes(files.dir / "run/config.yaml"), "name: text.txt\n"));
  const std::string page = read_bytes(files.dir / "run/report.html");
  CHECK(contains(page, "on text.txt"));
  CHECK_FALSE(contains(page, "enwik8"));
}
