// Samples that are drawn while a model is trained.

#include <filesystem>

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "ssa/data/picture.h"
#include "ssa/data/prepare.h"
#include "ssa/eval/draw_samples.h"
#include "ssa/eval/generate_pictures.h"

#include "dist/thread_ranks.h"
#include "tasks/majority_task.h"
#include "train/signal_self.h"
#include "train/train_run.h"
#include "train/word_run.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

/// `count` rows of CIFAR-10's binary version.
std::string rows(uint32_t count, uint64_t seed) {
  std::string text;
  for (uint32_t row = 0; row < count; ++row) {
    text += static_cast<char>(row % 10);
    for (uint64_t i = 0; i < 3072; ++i) {
      text += static_cast<char>(RngKey{.seed = seed, .step = row}.word(i) & 63u);
    }
  }
  return text;
}

/// Six steps on pictures of 4 x 4 pixels, scored after steps 2, 4 and 6, saved after every step.
struct PictureRun {
  PictureRun() {
    omp_set_num_threads(1);
    spdlog::set_level(spdlog::level::off);
    write_bytes(dir / "data_batch_1.bin", rows(9, 1));
    PrepareOptions options;
    options.name = "cifar10";
    options.inputs = {dir / "data_batch_1.bin"};
    options.output = dir / "data";
    prepare_images(options);
  }
  Config config(const Overrides& overrides = {}) const {
    return parse_config(
        "task: image_generation\n"
        "model: {layers: 2, width: 16, ffn_width: 16, heads: 2, position: relative_2d}\n"
        "ssa: {kind: local, windows: 2, sigma: 0.25}\n"
        "data: {path: " +
            dir / "data" +
            ", image_size: 4, validation: 3}\n"
            "train: {steps: 6, batch_size: 2, micro_batch: 1, samples: 6, log_every: 1,\n"
            "        eval_every: 2, checkpoint_every: 1, keep_checkpoints: 9}\n",
        "pictures.yaml", overrides);
  }
  TempDir dir;
};

std::string sheet(const std::string& folder, int step) {
  return read_bytes(fmt::format("{}/samples/step-{}.png", folder, step));
}

std::vector<int64_t> steps_of_samples(const std::string& folder) {
  std::vector<int64_t> steps;
  for (const SampleFile& file : list_samples(folder)) steps.push_back(file.step);
  return steps;
}

/// Split and loss of every line of the metrics.
std::vector<std::pair<std::string, double>> losses(const std::string& folder) {
  std::vector<std::pair<std::string, double>> result;
  for (const MetricsEvent& event : read_metrics(folder + "/metrics.jsonl")) {
    result.emplace_back(event.split, event.loss.value());
  }
  return result;
}

/// Sends this process a signal when a message that begins with `text` is logged.
class SignalAtMessage : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit SignalAtMessage(std::string text) : text_(std::move(text)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    if (payload.starts_with(text_)) signal_self(SIGUSR1);
  }
  void flush_() override {}

  std::string text_;
};

/// A training set without pictures to look at.
struct NoPictures : public TrainingSet {
  int64_t examples_per_epoch() const override { return 1; }
  Batch batch(int64_t, int64_t) const override { return {}; }
};

/// The majority task with a picture of each example: one row, black for symbol 0 and white for 1.
class SeenMajorityTask : public MajorityTask {
 public:
  using MajorityTask::MajorityTask;
  const TaskTraits& traits() const override {
    static const TaskTraits traits = [this] {
      TaskTraits seen = MajorityTask::traits();
      seen.samples = SampleKind::training_pictures;
      return seen;
    }();
    return traits;
  }
  std::unique_ptr<TaskData> open_data() const override {
    return std::make_unique<Data>(MajorityTask::open_data());
  }
  /// The training set of a run.
  static std::unique_ptr<TrainingSet> training(const Config& config) {
    return SeenMajorityTask(config).open_data()->training(config);
  }

 private:
  struct Training : public TrainingSet {
    explicit Training(std::unique_ptr<TrainingSet> own) : set(std::move(own)) {}
    int64_t examples_per_epoch() const override { return set->examples_per_epoch(); }
    Batch batch(int64_t first, int64_t count) const override { return set->batch(first, count); }
    Picture picture(int64_t example) const override {
      const Batch shown = batch(example, 1);
      Picture picture{1, 0, {}};
      for (const int32_t symbol : shown.field("symbols").values<int32_t>()) {
        ++picture.width;
        picture.pixels.insert(picture.pixels.end(), 3, symbol == 0 ? 0 : 255);
      }
      return picture;
    }
    std::unique_ptr<TrainingSet> set;
  };
  struct Data : public TaskData {
    explicit Data(std::unique_ptr<TaskData> own) : data(std::move(own)) {}
    const std::string& path() const override { return data->path(); }
    DataIdentity identity() const override { return data->identity(); }
    std::vector<std::string> description() const override { return data->description(); }
    Config settled(Config config) const override { return data->settled(std::move(config)); }
    std::unique_ptr<TrainingSet> training(const Config& config) const override {
      return std::make_unique<Training>(data->training(config));
    }
    std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                        int64_t most_terms) const override {
      return data->evaluation(config, split, most_terms);
    }
    std::unique_ptr<TaskData> data;
  };
};

std::string weights(const std::string& folder) {
  return read_bytes(folder + "/checkpoints/step-6/model.safetensors");
}

}  // namespace

TEST_CASE("samples are drawn after each evaluation, and change no bit of the training") {
  const PictureRun run;
  const std::string with = run.dir / "with", without = run.dir / "without";
  REQUIRE(train(run.config(), with) == TrainOutcome::finished);
  REQUIRE(train(run.config({"train.samples=0"}), without) == TrainOutcome::finished);
  CHECK(losses(with) == losses(without));
  CHECK((weights(with) == weights(without)));
  CHECK(steps_of_samples(with) == std::vector<int64_t>{2, 4, 6});
  CHECK_FALSE(std::filesystem::exists(without + "/samples"));

  // Six pictures in two rows of three, with lines of one pixel between them.
  const std::string png = sheet(with, 6);
  const Picture drawn =
      decode_picture({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, "step-6.png");
  CHECK(drawn.width == 14);
  CHECK(drawn.height == 9);
  CHECK(sheet(with, 2) != png);  // of other weights

  // The same file that the finished model draws, and that TensorBoard gets.
  const std::unique_ptr<Task> task = make_task(run.config());
  ModelSession session(*task, Device::cpu);
  session.load(latest_checkpoint_of(with).model);
  const auto again = draw_samples(*task, session.model(), NoPictures(), {.count = 6});
  REQUIRE(again);
  CHECK(again->suffix == "png");
  CHECK((again->bytes == png));
  for (const auto& file : std::filesystem::directory_iterator(with)) {
    if (!file.path().filename().string().starts_with("events.out")) continue;
    const std::string events = read_bytes(file.path().string());
    for (const int step : {2, 4, 6}) CHECK(contains(events, sheet(with, step)));
  }
}

TEST_CASE("a resumed run draws the samples of later steps again") {
  const PictureRun run;
  const std::string whole = run.dir / "whole", parts = run.dir / "parts";
  REQUIRE(train(run.config(), whole) == TrainOutcome::finished);
  REQUIRE(train(run.config(), parts) == TrainOutcome::finished);
  for (const int step : {4, 6}) {
    write_bytes(fmt::format("{}/samples/step-{}.png", parts, step), "of another branch");
  }
  REQUIRE(train(run.config(), parts, parts + "/checkpoints/step-3") == TrainOutcome::finished);
  CHECK(steps_of_samples(parts) == std::vector<int64_t>{2, 4, 6});
  for (const int step : {2, 4, 6}) CHECK((sheet(parts, step) == sheet(whole, step)));
}

TEST_CASE("a run that is stopped while it draws is scored and drawn when it is resumed") {
  const PictureRun run;
  const std::string whole = run.dir / "whole", parts = run.dir / "parts";
  REQUIRE(train(run.config(), whole) == TrainOutcome::finished);
  {
    // The score is logged before samples are drawn.
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<SignalAtMessage>("step 4: valid loss")));
    CHECK(train(run.config(), parts) == TrainOutcome::interrupted);
    spdlog::set_default_logger(before);
  }
  CHECK(steps_of_samples(parts) == std::vector<int64_t>{2});
  REQUIRE(train(run.config(), parts, "auto") == TrainOutcome::finished);
  CHECK(losses(parts) == losses(whole));  // the score of step 4 only once
  CHECK((weights(parts) == weights(whole)));
  for (const int step : {2, 4, 6}) CHECK((sheet(parts, step) == sheet(whole, step)));
}

TEST_CASE("the first of several ranks draws, and an error of its is that of all") {
  const PictureRun run;
  const Overrides dense = {"ssa.kind=none"};
  const std::string alone = run.dir / "alone", shared = run.dir / "shared";
  REQUIRE(train(run.config(dense), alone) == TrainOutcome::finished);
  const auto train_on_two = [&](const std::string& folder) {
    const StopSignal stop;
    on_ranks(2, [&](Communicator& ranks) {
      omp_set_num_threads(1);
      Trainer(run.config(dense), {folder, "none", Device::cpu, &ranks}).train();
    });
  };
  train_on_two(shared);
  CHECK(steps_of_samples(shared) == std::vector<int64_t>{2, 4, 6});
  CHECK(losses(shared).size() == losses(alone).size());

  write_bytes(run.dir / "file", "no folder");
  std::filesystem::create_directories(run.dir / "broken");
  std::filesystem::create_symlink(run.dir / "file", run.dir / "broken/samples");
  const std::string message =
      message_of<CheckpointError>([&] { train_on_two(run.dir / "broken"); });
  CAPTURE(message);
  CHECK(contains(message, "broken/samples"));
}

TEST_CASE("a task may show the training pictures of the coming step") {
  const TempDir dir;
  Config config = parse_config(
      "task: byte_lm\n"
      "model: {layers: 1, width: 8, ffn_width: 8, heads: 1}\n"
      "data: {path: none, length: 5}\n"
      "train: {steps: 4, batch_size: 3, micro_batch: 3, eval_every: 2, checkpoint_every: 0}\n",
      "seen.yaml");
  config.train.samples = 4;
  const StopSignal stop;
  Trainer trainer(config, {.run_dir = dir / "run", .make_task = [](const Config& given) {
                             return std::make_unique<SeenMajorityTask>(given);
                           }});
  REQUIRE(trainer.train() == TrainOutcome::finished);
  const auto training = SeenMajorityTask::training(config);
  for (const int64_t step : {2, 4}) {
    std::vector<Picture> next;
    for (int64_t i = 0; i < 4; ++i) next.push_back(training->picture(step * 3 + i));
    const std::string png = sheet(dir / "run", static_cast<int>(step));
    CHECK((decode_picture({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, "sheet") ==
           contact_sheet(next, 2)));
  }
  CHECK_THROWS_WITH(NoPictures().picture(7), Catch::Contains("picture of example 7"));
}

TEST_CASE("texts are drawn after each evaluation, and change no bit of the training") {
  const TinyRun run;
  spdlog::set_level(spdlog::level::off);
  const Overrides drawing = {"train.samples=2", "train.sample_length=20",
                             "train.sample_prompt=the window"};
  const std::string with = run.dir / "with", without = run.dir / "without";
  REQUIRE(train(run.config(drawing), with) == TrainOutcome::finished);
  REQUIRE(train(run.config(), without) == TrainOutcome::finished);
  CHECK(losses(with) == losses(without));
  CHECK((read_bytes(with + "/checkpoints/step-8/model.safetensors") ==
         read_bytes(without + "/checkpoints/step-8/model.safetensors")));
  CHECK(steps_of_samples(with) == std::vector<int64_t>{3, 6, 8});
  const auto text = [&](int step) {
    return read_bytes(fmt::format("{}/samples/step-{}.txt", with, step));
  };
  const std::string last = text(8);
  CAPTURE(last);
  const std::string first_line = "===== 1 of 2 =====\nthe window";
  CHECK(last.starts_with(first_line));
  const size_t second = last.find("\n\n===== 2 of 2 =====\nthe window");
  REQUIRE(second != std::string::npos);
  CHECK(second == first_line.size() + 20);
  // Other random numbers: another text.
  CHECK(last.substr(first_line.size(), 20) != last.substr(second + first_line.size() + 2, 20));
  CHECK(text(3) != last);

  // What the finished model draws, resumed or not.
  const std::string parts = run.dir / "parts";
  REQUIRE(train(run.config(drawing), parts, with + "/checkpoints/step-4") ==
          TrainOutcome::finished);
  CHECK(read_bytes(parts + "/samples/step-8.txt") == last);
}

TEST_CASE("words are drawn with blanks between them") {
  const WordRun run;
  spdlog::set_level(spdlog::level::off);
  REQUIRE(train(run.config({"train.samples=1", "train.sample_length=5", "train.steps=1",
                            "train.schedule.warmup_steps=0", "train.sample_prompt=the window"}),
                run.dir / "run") == TrainOutcome::finished);
  const std::string text = read_bytes(run.dir / "run/samples/step-1.txt");
  CAPTURE(text);
  CHECK(text.starts_with("===== 1 of 1 =====\nthe window "));
}

TEST_CASE("a task without samples draws none") {
  const TinyRun text;
  const std::unique_ptr<Task> task = make_task(text.config());
  ModelSession session(*task, Device::cpu);
  CHECK_THROWS_AS(draw_samples(*task, session.model(), NoPictures(), {.count = 4}), ShapeError);
}
