#include "ssa/train/model_session.h"

#include "ssa/tasks/language_model.h"

#include "train/tiny_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

LanguageModelTask task_of(const TinyRun& run, const Overrides& overrides = {}) {
  return LanguageModelTask(run.config(overrides));
}

void save_parameters(const ModelSession& session, const std::string& path) {
  write_safetensors(path, session.named_parameters(), {});
}

}  // namespace

TEST_CASE("a session's parameters follow from the seed, and go through a file unchanged") {
  const TinyRun run;
  const ModelSession first(task_of(run), Device::cpu), again(task_of(run), Device::cpu);
  ModelSession other(task_of(run, {"train.seed=2"}), Device::cpu);
  const auto named = first.named_parameters();
  REQUIRE(named.size() == 35);  // embedding, 16 in each of 2 blocks, 2 of the final norm
  bool differs = false;
  for (size_t i = 0; i < named.size(); ++i) {
    CAPTURE(named[i].name);
    CHECK(same_bits(named[i].tensor, again.named_parameters()[i].tensor));
    differs = differs || !same_bits(named[i].tensor, other.named_parameters()[i].tensor);
  }
  CHECK(differs);

  save_parameters(first, run.dir / "model.safetensors");
  other.load(SafetensorsFile(run.dir / "model.safetensors"));
  for (size_t i = 0; i < named.size(); ++i) {
    CHECK(same_bits(named[i].tensor, other.named_parameters()[i].tensor));
  }
}

TEST_CASE("parameters of another model are refused, with the parameter's name") {
  const TinyRun run;
  const std::string path = run.dir / "model.safetensors";
  save_parameters(ModelSession(task_of(run), Device::cpu), path);
  const auto refusal = [&](const std::vector<std::string>& overrides) {
    ModelSession session(task_of(run, overrides), Device::cpu);
    return message_of<CheckpointError>([&] { session.load(SafetensorsFile(path)); });
  };
  CHECK(contains(refusal({"model.layers=3"}), "blocks.2."));
  CHECK(contains(refusal({"model.layers=1"}), path + ": holds 35 tensors"));
  CHECK(contains(refusal({"model.ffn_width=48"}), "blocks.0.ffn.up.weight"));
  CHECK(contains(refusal({"model.width=32"}), "embedding.weight"));
}

TEST_CASE("what is not built is refused with the way out") {
  const TinyRun run;
  CHECK(contains(message_of<ConfigError>(
                     [&] { ModelSession(task_of(run, {"train.precision=fp16"}), Device::cpu); }),
                 "--set train.precision=bf16"));
  CHECK(device_from_name("auto") == Device::cpu);
  CHECK(device_from_name("reference") == Device::reference);
  CHECK(contains(message_of<ConfigError>([] { device_from_name("gpu"); }), "reference"));
}

TEST_CASE("a run without a checkpoint is named") {
  const TempDir dir;
  CHECK(contains(message_of<CheckpointError>([&] { latest_checkpoint_of(dir / "run"); }),
                 dir / "run/checkpoints"));
}
