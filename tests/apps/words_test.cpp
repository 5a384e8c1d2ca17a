#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/data/token_dataset.h"
#include "ssa/storage/safetensors.h"

#include "apps/child_process.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;
using nlohmann::json;

namespace {

/// The files of a small text of words in a folder, for the programs.
struct WordFiles : WordRun {
  std::string config_path = dir / "words.yaml";
  WordFiles() { write_bytes(config_path, yaml()); }

  Finished prepare(const std::string& name, const std::string& output,
                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "prepare",         name,      "--input",        dir / "train.txt", "--input",
        dir / "valid.txt", "--input", dir / "test.txt", "--output",        output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program("ssa-data", arguments);
  }
  /// Trains in the folder `run`.
  void train() const {
    const Finished trained =
        run_program("ssa-train", {"--config", config_path, "--run-dir", dir / "run"});
    REQUIRE(trained.code == 0);
    CHECK(contains(trained.err, "perplexity "));
    CHECK(contains(trained.err, "vocabulary of 14 words"));
    CHECK_FALSE(contains(trained.err, "byte"));
  }
};

}  // namespace

TEST_CASE("ssa-data prepares, shows and verifies words") {
  const WordFiles files;
  REQUIRE(files.prepare("words", files.dir / "out").code == 0);
  const Finished shown = run_program("ssa-data", {"info", files.dir / "out", "--verify"});
  CHECK(shown.code == 0);
  CHECK(contains(shown.out, "vocabulary      14\n"));
  CHECK(contains(shown.out, "tokens, from 0\n"));
  CHECK(contains(shown.out, "verified        yes"));
  const Finished as_json = run_program("ssa-data", {"info", files.dir / "out", "--json"});
  CHECK(json::parse(as_json.out)["vocabulary"] == 14);
  CHECK(contains(run_program("ssa-data", {"list"}).out, "wikitext103  supported"));

  flip_bit(files.dir / "out/tokens.bin");
  const Finished damaged = run_program("ssa-data", {"info", files.dir / "out", "--verify"});
  CHECK(damaged.code == 3);
  CHECK(contains(damaged.err, files.dir / "out/tokens.bin"));
  const Finished wrong = files.prepare("wikitext103", files.dir / "other");
  CHECK(wrong.code == 3);
  CHECK(contains(wrong.err, "103227021"));
  CHECK_FALSE(path_exists(files.dir / "other"));
}

TEST_CASE("a model of words is scored in perplexity and writes words") {
  const WordFiles files;
  files.train();
  const std::string run = files.dir / "run";
  const Finished scored =
      run_program("ssa-eval", {"--run", run, "--json", files.dir / "e.json", "--mode", "ensemble",
                               "--samples", "3", "--curve"});
  REQUIRE(scored.code == 0);
  CHECK(contains(scored.out, ": perplexity "));
  CHECK(contains(scored.out, " tokens, "));
  CHECK(contains(scored.out, "samples  perplexity  stderr   to renorm  stderr\n"));
  const json result = json::parse(read_bytes(files.dir / "e.json"));
  CHECK_FALSE(result.contains("bits_per_byte"));
  const double perplexity = result["perplexity"].get<double>();
  CHECK(perplexity == Approx(std::exp(result["loss"].get<double>())));
  CHECK(result["curve"][2]["value"].get<double>() == perplexity);
  CHECK(result["curve"][0]["stderr"].get<double>() > 0);
  CHECK(result["spread"].get<double>() > 0);

  const Finished written = run_program(
      "ssa-generate", {"--run", run, "--length", "30", "--prompt", "the zebra of", "--seed", "4"});
  REQUIRE(written.code == 0);
  CHECK(contains(written.err, "1 words of the prompt are not in the vocabulary"));
  CHECK(written.out.starts_with("the zebra of "));
  const std::vector<int32_t> tokens =
      TokenDataset::open(files.words_path).vocabulary().encode(written.out);
  CHECK(tokens.size() == 3 + 30 + 1);  // and the newline at the end
}

TEST_CASE("the same words in another order are not taken for the run's") {
  const WordFiles files;
  files.train();
  const std::string before = TokenDataset::open(files.words_path).info().vocabulary_checksum;
  std::string text = sample_text(4000, 9);
  text.resize(text.find_last_of(" \n"));
  write_bytes(files.dir / "train.txt", text + "\n");
  const Finished kept = files.prepare("words", files.words_path);
  CHECK(kept.code == 2);
  CHECK(contains(kept.err, "--replace"));
  REQUIRE(files.prepare("words", files.words_path, {"--replace"}).code == 0);
  const DatasetInfo now = TokenDataset::open(files.words_path).info();
  REQUIRE(now.vocabulary == WordRun::kVocabulary);
  REQUIRE(now.vocabulary_checksum != before);
  const std::string run = files.dir / "run";
  const Finished refused = run_program("ssa-eval", {"--run", run, "--mode", "renorm"});
  CHECK(refused.code == 2);
  CHECK(contains(refused.err, "trained with the vocabulary of checksum " + before));
  CHECK(contains(refused.err, now.vocabulary_checksum));
  CHECK(contains(refused.err, "ssa-data prepare words --vocabulary RUN"));
  // The run has its own.
  CHECK(run_program("ssa-generate", {"--run", run, "--length", "1"}).code == 0);
  std::filesystem::remove(run + "/vocab.txt");  // as in a run of an older version
  const Finished older = run_program("ssa-generate", {"--run", run, "--length", "1"});
  CHECK(older.code == 2);
  CHECK(contains(older.err, "trained with the vocabulary of checksum " + before));
}

TEST_CASE("the vocabulary travels with the run, for other texts and without the data") {
  const WordFiles files;
  files.train();
  const std::string run = files.dir / "run", other = files.dir / "other";
  CHECK(read_bytes(run + "/vocab.txt") == read_bytes(files.words_path + "/vocab.txt"));
  write_bytes(files.dir / "other.txt", sample_text(900, 7) + "\nzebra zebra\n");
  const auto prepared =
      run_program("ssa-data", {"prepare", "words", "--input", files.dir / "other.txt",
                               "--vocabulary", run, "--split", "80/10/10", "--output", other});
  REQUIRE(prepared.code == 0);
  CHECK(contains(prepared.err, "run/vocab.txt: 14 words"));
  const Finished scored =
      run_program("ssa-eval", {"--run", run, "--mode", "renorm", "--set", "data.path=" + other});
  CHECK(scored.code == 0);
  CHECK(contains(scored.out, "perplexity"));

  std::filesystem::remove_all(files.words_path);
  const Finished written =
      run_program("ssa-generate", {"--run", run, "--length", "3", "--prompt", "the plan"});
  CHECK(written.code == 0);
  CHECK(written.out.starts_with("the plan "));
  write_bytes(run + "/vocab.txt", "</s> 1\n<unk> 1\n");
  const Finished damaged = run_program("ssa-generate", {"--run", run, "--length", "3"});
  CHECK(damaged.code == 4);
  CHECK(contains(damaged.err, run + "/vocab.txt"));
}

TEST_CASE("an import keeps the words that the weights were trained with") {
  const WordFiles files;
  files.train();
  const std::string file = files.dir / "words.safetensors";
  const std::string trained_with = TokenDataset::open(files.words_path).info().vocabulary_checksum;
  const auto import = [&](const std::string& weights, const std::string& name,
                          const std::string& data_path) {
    return run_program("ssa-convert",
                       {"import", "--layout", "ssa", "--weights", weights, "--run-dir",
                        files.dir / name, "--set", "data.path=" + data_path});
  };
  REQUIRE(run_program("ssa-convert",
                      {"export", "--run", files.dir / "run", "--layout", "ssa", "--output", file})
              .code == 0);
  std::string text = sample_text(4000, 9);
  text.resize(text.find_last_of(" \n"));
  write_bytes(files.dir / "train.txt", text + "\n");
  const std::string other = files.dir / "other";  // as many words in another order
  REQUIRE(files.prepare("words", other).code == 0);
  REQUIRE(TokenDataset::open(other).info().vocabulary == WordRun::kVocabulary);

  const Finished refused = import(file, "refused", other);
  CHECK(refused.code == 2);
  CHECK(contains(refused.err, "trained with the vocabulary of checksum " + trained_with));
  CHECK_FALSE(path_exists(files.dir / "refused"));
  REQUIRE(import(file, "without", files.dir / "none").code == 0);  // remembers it without data
  const Finished scored = run_program("ssa-eval", {"--run", files.dir / "without", "--mode",
                                                   "renorm", "--set", "data.path=" + other});
  CHECK(scored.code == 2);
  CHECK(contains(scored.err, "trained with the vocabulary of checksum " + trained_with));
  CHECK(import(file, "same", files.words_path).code == 0);

  const SafetensorsFile stored(file);
  std::vector<NamedTensor> tensors;
  for (const std::string& name : stored.names()) {
    tensors.push_back({name, stored.load(name, Device::cpu, MemoryCategory::data)});
  }
  SafetensorsMetadata metadata = stored.metadata();
  metadata["vocabulary"] = "</s> 1\n<unk> 1\n";
  const std::string changed = files.dir / "changed.safetensors";
  write_safetensors(changed, tensors, metadata);
  const Finished damaged = import(changed, "damaged", files.dir / "none");
  CHECK(damaged.code == 4);
  CHECK(contains(damaged.err, "changed.safetensors: the vocabulary in its metadata"));
  CHECK_FALSE(path_exists(files.dir / "damaged"));
}

TEST_CASE("a prompt that says <unk> means it") {
  const WordFiles files;
  files.train();
  const auto warnings = [&](const std::string& prompt) {
    return run_program("ssa-generate",
                       {"--run", files.dir / "run", "--length", "1", "--quiet", "--prompt", prompt})
        .err;
  };
  CHECK(warnings("the <unk> of <unk>").empty());
  CHECK(contains(warnings("the <unk> zebra"), "1 words of the prompt"));
}
