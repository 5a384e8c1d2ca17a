// Training runs on the emulated GPU: steps, checkpoints, evaluation and generation match the CPU's.
// A read of device memory by the host would fault.

#include <spdlog/spdlog.h>

#include "ssa/eval/evaluate.h"
#include "ssa/eval/generate.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/registry.h"
#include "streams.h"
#include "train/tiny_stepper.h"
#include "train/train_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// Installed before any test runs, so that the tests of tests/models in this program find a GPU.
const bool kInstalled = [] {
  install_cuda_backend(make_cuda_backend());
  return true;
}();

/// Losses of steps whose inputs are sent while the step before is computed.
std::vector<double> losses_with_inputs_ahead(TinyStepper& tiny, int64_t first, int64_t end) {
  std::vector<double> losses;
  const auto send = [&](int64_t number) {
    if (number < end) tiny.stepper.send(tiny.item(number));
  };
  send(first);
  for (int64_t number = first; number < end; ++number) {
    losses.push_back(tiny.stepper.step(number, {}, [&] { send(number + 1); }).loss);
  }
  return losses;
}

/// Biases of keys have no gradient but rounding noise, and Adam moves them by its sign: devices
/// that round differently do not agree on them.
constexpr const char* kKeyBias = ".key.bias";

/// Losses in the order of the run's metrics.
std::vector<double> losses(const std::string& folder) {
  std::vector<double> all;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    all.push_back(event.loss.value());
  }
  return all;
}

}  // namespace

TEST_CASE("f32 steps on the GPU are the CPU's, dropout included") {
  const std::string kind = GENERATE("local", "unbiased", "none");
  const std::string optimizer = GENERATE("adam", "sgd");
  CAPTURE(kind, optimizer);
  REQUIRE(kInstalled);
  const Overrides overrides = {"ssa.kind=" + kind, "train.optimizer.kind=" + optimizer};
  TinyStepper cpu(overrides), gpu(overrides, Device::cuda);
  CHECK(gpu.parameters() == cpu.parameters());  // drawn alike
  for (int64_t step = 3; step < 5; ++step) {    // the second one is dense: +FT
    CAPTURE(step);
    const StepResult expected = cpu.step(step), got = gpu.step(step);
    CHECK(got.loss == Approx(expected.loss).epsilon(1e-6));
    CHECK(got.grad_norm == Approx(expected.grad_norm).epsilon(1e-5));
    CHECK(got.updated);
  }
  CHECK(largest_difference(gpu.parameters_except(kKeyBias), cpu.parameters_except(kKeyBias)) <
        2e-4);
}

TEST_CASE("steps in low precision on the GPU stay close to f32") {
  const std::string precision = GENERATE("bf16", "fp16");
  const std::string checkpointing = GENERATE("none", "block");
  // The GPU's products include the second one.
  const std::string activation = GENERATE("gelu", "gelu_tanh");
  CAPTURE(precision, checkpointing, activation);
  const Overrides both = {"model.activation=" + activation};
  TinyStepper cpu(both);
  TinyStepper gpu(both + Overrides{"train.precision=" + precision,
                                   "train.activation_checkpointing=" + checkpointing},
                  Device::cuda);
  for (int64_t step = 3; step < 5; ++step) {
    CAPTURE(step);
    const StepResult expected = cpu.step(step);
    StepResult got = gpu.step(step);
    for (int tries = 0; got.rescaled && tries < 24; ++tries) got = gpu.step(step);
    CHECK(got.updated);
    CHECK(got.loss == Approx(expected.loss).epsilon(0.01));
    CHECK(got.grad_norm == Approx(expected.grad_norm).epsilon(0.05));
  }
}

TEST_CASE("replayed steps have the bits of steps whose kernels are launched one by one") {
  const auto [precision, checkpointing, more] =
      GENERATE(table<std::string, std::string, std::string>(
          {{"fp32", "none", "model.attention=fused"},
           {"fp32", "block", "model.attention=materialized"},
           {"bf16", "attention", "model.activation=gelu_tanh"},
           {"fp16", "none", "ssa.kind=unbiased"}}));
  CAPTURE(precision, checkpointing, more);
  const Overrides overrides = {"train.precision=" + precision, "train.steps=8",
                               "ssa.finetune_fraction=0.375",
                               "train.activation_checkpointing=" + checkpointing, more};
  Overrides by_call = overrides;
  by_call.push_back("train.cuda_graphs=false");
  TinyStepper recorded(overrides, Device::cuda), asked(by_call, Device::cuda);
  const auto score = [](TinyStepper& stepper) {
    const auto set =
        LanguageModelData(stepper.dataset).evaluation(stepper.config, Split::valid, 64);
    return evaluate(stepper.stepper.session().model(), stepper.task, *set, {}, Device::cuda).loss;
  };
  const int launched = emulation::graph_launches();
  for (int64_t step = 0; step < 8; ++step) {  // the last three are dense: +FT
    CAPTURE(step);
    const StepResult expected = asked.step(step), got = recorded.step(step);
    CHECK(got.loss == expected.loss);
    CHECK(got.grad_norm == expected.grad_norm);
    CHECK(got.updated == expected.updated);
    if (step % 2 == 1) CHECK(score(recorded) == score(asked));
  }
  CHECK(emulation::graph_launches() - launched >= (precision == "fp16" ? 1 : 6));
  CHECK(recorded.parameters() == asked.parameters());
}

namespace {

/// Steps of work of several kinds, which differ in shape: dropout of a tensor by the step's key.
struct KindsOfWork {
  StepRecorder recorder{Device::cuda, true};
  std::vector<Tensor> inputs;
  std::vector<int> calls;  // of the work itself, to launch or to capture it

  explicit KindsOfWork(size_t kinds) : calls(kinds, 0) {
    for (size_t kind = 0; kind < kinds; ++kind) {
      const auto length = static_cast<int64_t>(40 + kind);
      inputs.push_back(Tensor::from(std::vector<float>(40 + kind, 1.0f), {length}, Device::cuda));
    }
  }
  std::vector<Tensor> dropped(size_t kind, uint32_t step) const {
    Tensor out = Tensor::empty_like(inputs[kind]);
    backend(Device::cuda).dropout({0.5, {.seed = 1, .step = step}}, inputs[kind], Tensor(), out);
    return {out};
  }
  void take(size_t kind, uint32_t step) {
    CAPTURE(kind, step);
    const std::vector<Tensor> got = recorder.run(step, {static_cast<double>(kind)}, [&] {
      ++calls[kind];
      return dropped(kind, step);
    });
    CHECK(values(got.at(0)) == values(dropped(kind, step).at(0)));
  }
};

}  // namespace

TEST_CASE("steps of two shapes in turn are captured once each, with the bits of launched ones") {
  KindsOfWork work(2);
  const int launched = emulation::graph_launches();
  for (uint32_t step = 0; step < 12; ++step) work.take(step % 2, step);
  CHECK(work.calls == std::vector<int>{2, 2});  // launched, then captured
  CHECK(emulation::graph_launches() - launched == 10);
}

TEST_CASE("of more kinds of steps than are kept, the least recently used graph is dropped") {
  KindsOfWork work(StepRecorder::kMostKinds + 1);
  uint32_t step = 0;
  for (const int round : {0, 1}) {
    for (size_t kind = 0; kind < work.inputs.size(); ++kind) work.take(kind, step++);
    CHECK(work.calls == std::vector<int>(work.inputs.size(), round + 1));
  }
  const int launched = emulation::graph_launches();
  work.take(work.inputs.size() - 1, step++);  // the last graph is still there
  CHECK(emulation::graph_launches() - launched == 1);
}

TEST_CASE("a graph that is not used for long frees its memory") {
  KindsOfWork work(2);
  uint32_t step = 0;
  for (int i = 0; i < 3; ++i) work.take(0, step++);
  CHECK(work.calls[0] == 2);
  for (int64_t i = 0; i <= StepRecorder::kMostIdleSteps; ++i) work.take(1, step++);
  work.take(0, step++);
  CHECK(work.calls == std::vector<int>{3, 2});
}

TEST_CASE("two models that capture their steps in turn use memory of their own") {
  const Overrides other = {"train.seed=2"};
  TinyStepper first({}, Device::cuda), second(other, Device::cuda);
  TinyStepper alone({"train.cuda_graphs=false"}, Device::cuda);
  for (int64_t step = 0; step < 4; ++step) {
    first.step(step);
    second.step(step);
    alone.step(step);
  }
  CHECK(first.parameters() == alone.parameters());
  CHECK(second.parameters() != alone.parameters());
}

TEST_CASE("a step whose capture fails is launched, with the weights of that step") {
  spdlog::set_level(spdlog::level::off);
  const Overrides overrides = {"ssa.finetune_fraction=0"};
  TinyStepper recorded(overrides, Device::cuda);
  TinyStepper asked(overrides + Overrides{"train.cuda_graphs=false"}, Device::cuda);
  const int launched = emulation::graph_launches();
  const auto take = [&](int64_t step, int64_t failing_request = 0) {
    CAPTURE(step);
    allocator(Device::cuda).trim();  // so that the step requests memory
    allocator(Device::cuda).fail_after(failing_request);
    const double got = recorded.step(step).loss;
    allocator(Device::cuda).fail_after(0);
    CHECK(got == asked.step(step).loss);
  };
  take(0);
  const int failures = GENERATE(2, 3);  // after the third, nothing is captured
  int64_t step = 1;
  for (int failure = 0; failure < failures; ++failure) {
    take(step++, 5 + 5 * failure);  // fails during the capture
    take(step++);                   // kernels are launched one by one
  }
  CHECK(emulation::graph_launches() == launched);
  for (; step < 8; ++step) take(step);
  CHECK((emulation::graph_launches() > launched) == (failures == 2));
  CHECK(recorded.parameters() == asked.parameters());
}

TEST_CASE("steps continue after the memory of a graph was freed") {
  TinyStepper recorded({}, Device::cuda), asked({"train.cuda_graphs=false"}, Device::cuda);
  const auto take = [&](int64_t step) {
    CAPTURE(step);
    CHECK(recorded.step(step).loss == asked.step(step).loss);
  };
  for (int64_t step = 0; step < 3; ++step) take(step);
  const auto more_than_fits = static_cast<size_t>(device_memory(Device::cuda).capacity());
  CHECK_THROWS_AS(allocator(Device::cuda).allocate(more_than_fits, MemoryCategory::workspace),
                  OutOfMemoryError);
  for (int64_t step = 3; step < 6; ++step) take(step);
  CHECK(recorded.parameters() == asked.parameters());
}

TEST_CASE("inputs sent during a step are right, however late either stream is") {
  TinyStepper at_once({}, Device::cuda);
  const std::vector<double> expected = losses_with_inputs_ahead(at_once, 0, 5);
  for (const auto work : {emulation::Pace::soon, emulation::Pace::late}) {
    for (const auto inputs : {emulation::Pace::soon, emulation::Pace::late}) {
      CAPTURE(static_cast<int>(work), static_cast<int>(inputs));
      emulation::set_pace(cuda::stream(), work);
      emulation::set_pace_of_new_streams(inputs);
      TinyStepper tiny({}, Device::cuda);
      CHECK(losses_with_inputs_ahead(tiny, 0, 5) == expected);
      CHECK(tiny.parameters() == at_once.parameters());
    }
  }
  emulation::set_pace(cuda::stream(), emulation::Pace::soon);
  emulation::set_pace_of_new_streams(emulation::Pace::soon);
}

TEST_CASE("a run on the GPU is evaluated, saved, resumed in the same bits, and near the CPU's") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  const Overrides shorter = {"train.steps=4", "train.eval_every=2"};
  const Config config = run.config(shorter);
  REQUIRE(train(config, run.dir / "gpu", "none", Device::cuda) == TrainOutcome::finished);
  REQUIRE(train(config, run.dir / "cpu") == TrainOutcome::finished);
  const std::vector<double> got = losses(run.dir / "gpu"), expected = losses(run.dir / "cpu");
  REQUIRE(got.size() == 6);
  CHECK(largest_difference(got, expected) < 1e-3);

  REQUIRE(train(config, run.dir / "resumed", run.dir / "gpu/checkpoints/step-2", Device::cuda) ==
          TrainOutcome::finished);
  const auto saved = [&](const std::string& folder, const std::string& file) {
    return read_bytes(run.dir / (folder + "/checkpoints/step-4/" + file));
  };
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    CHECK((saved("resumed", file) == saved("gpu", file)));
  }
  // A run may change its device.
  CHECK(train(run.config({"train.steps=5", "train.eval_every=2"}), run.dir / "gpu", "auto") ==
        TrainOutcome::finished);
}

TEST_CASE("ensembles and generated text on the GPU are the CPU's") {
  const TinyRun run;
  const Overrides overrides = {"model.layers=1"};
  const TokenDataset dataset = TokenDataset::open(run.text_path);
  const Config config = run.config(overrides);
  std::vector<EvalResult> results;
  std::vector<std::vector<int32_t>> texts;
  for (const Device device : {Device::cpu, Device::cuda}) {
    const LanguageModelTask task(config);
    const ModelSession session(task, device);
    const auto set = LanguageModelData(dataset).evaluation(config, Split::valid, 64);
    results.push_back(
        evaluate(session.model(), task, *set, {.mode = EvalMode::ensemble, .samples = 2}, device));
    NextToken next(dynamic_cast<const DecoderLm&>(session.model()), config, {}, device);
    texts.push_back(generate(next, {116, 104, 101}, 4, {.temperature = 0}, {}));
  }
  CHECK(results[1].loss == Approx(results[0].loss).epsilon(1e-6));
  CHECK(results[1].spread == Approx(results[0].spread).epsilon(1e-3));
  CHECK(results[1].terms == results[0].terms);
  CHECK(texts[1] == texts[0]);
}

TEST_CASE("a GPU without room for a step says what was planned") {
  spdlog::set_level(spdlog::level::off);
  const TinyRun run;
  Trainer trainer(run.config(), {run.dir / "run", "none", Device::cuda});
  allocator(Device::cuda).trim();
  allocator(Device::cuda).fail_after(20);
  const std::string message = message_of<OutOfMemoryError>([&] { trainer.train(); });
  allocator(Device::cuda).fail_after(0);
  CHECK(contains(message, "out of memory on the GPU"));
  CHECK(contains(message, "Planned at micro-batch 2"));
  CHECK(contains(message, "train.micro_batch"));
}
