#include "ssa/train/layer_norms.h"

#include <cmath>

#include <spdlog/spdlog.h>

#include "dist/thread_ranks.h"
#include "train/tiny_run.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const Overrides kNorms = {"train.log_norms=true", "train.log_every=2"};

std::vector<MetricsEvent> lines(const std::string& folder) {
  std::vector<MetricsEvent> events = read_metrics(folder + "/metrics.jsonl");
  std::erase_if(events, [](const MetricsEvent& event) { return event.split != "train"; });
  return events;
}

std::string weights_of(const std::string& folder) {
  return read_bytes(folder + "/checkpoints/step-8/model.safetensors");
}

}  // namespace

TEST_CASE("a parameter's layer is its name up to the last number") {
  CHECK(layer_of("blocks.0.attention.query.weight") == "blocks.0");
  CHECK(layer_of("stages.2.blocks.11.ffn.up.bias") == "stages.2.blocks.11");
  CHECK(layer_of("embedding.weight") == "embedding");
  CHECK(layer_of("embedding.bands.1.weight") == "embedding.bands.1");
  CHECK(layer_of("relative_bias") == "relative_bias");
  CHECK(layer_of("conv2d.weight") == "conv2d");
}

TEST_CASE("norms of layers add up to those of the whole, and change no bit of the training") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config(kNorms), run.dir / "with") == TrainOutcome::finished);
  REQUIRE(train(run.config(), run.dir / "without") == TrainOutcome::finished);
  CHECK((weights_of(run.dir / "with") == weights_of(run.dir / "without")));
  const auto with = lines(run.dir / "with");
  REQUIRE(with.size() == 4);
  for (const MetricsEvent& event : with) {
    REQUIRE(event.gradient_norms.size() == 4);
    CHECK(event.gradient_norms[0].first == "embedding");
    CHECK(event.gradient_norms[1].first == "blocks.0");
    CHECK(event.gradient_norms[3].first == "final_norm");
    double squares = 0;
    for (const auto& [layer, norm] : event.gradient_norms) squares += norm * norm;
    CHECK(std::sqrt(squares) == Approx(event.grad_norm.value()).epsilon(1e-9));
    CHECK(event.parameter_norms.size() == 4);
  }
  CHECK(lines(run.dir / "without").front().gradient_norms.empty());

  // The last parameters that were measured are those of step 7: the weights before the update.
  const SafetensorsFile file(run.dir / "with/checkpoints/step-7/model.safetensors");
  double squares = 0;
  for (const double value :
       values(file.load("embedding.weight", Device::cpu, MemoryCategory::data))) {
    squares += value * value;
  }
  CHECK(with.back().parameter_norms[0].second == Approx(std::sqrt(squares)).epsilon(1e-9));
}

TEST_CASE("ranks that share the optimizer agree on the norms of layers") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const auto train_on_two = [&](const std::string& name, const Overrides& more) {
    const StopSignal stop;
    on_ranks(2, [&](Communicator& communicator) {
      omp_set_num_threads(1);
      Trainer(run.config(kNorms + more), {run.dir / name, "none", Device::cpu, &communicator})
          .train();
    });
    return lines(run.dir / name);
  };
  const auto whole = train_on_two("whole", {});
  const auto sharded = train_on_two("sharded", {"distributed.shard_optimizer=true"});
  REQUIRE(whole.size() == sharded.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    REQUIRE(sharded[i].gradient_norms.size() == 4);
    for (size_t layer = 0; layer < 4; ++layer) {
      CHECK(sharded[i].gradient_norms[layer].second ==
            Approx(whole[i].gradient_norms[layer].second).epsilon(1e-6));
    }
    CHECK(sharded[i].parameter_norms == whole[i].parameter_norms);
  }
}
