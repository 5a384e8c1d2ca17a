#include "ssa/tasks/task.h"

#include <algorithm>
#include <cmath>

#include "ssa/models/decoder_plans.h"
#include "ssa/tasks/graph_regression.h"
#include "ssa/tasks/image_classification.h"
#include "ssa/tasks/image_generation.h"
#include "ssa/tasks/language_model.h"
#include "ssa/tasks/model_input.h"

#include "tasks/prediction_line.h"

namespace ssa {

std::unique_ptr<Task> make_task(const Config& config) {
  switch (config.task) {
    case TaskKind::byte_lm:
    case TaskKind::word_lm:
    case TaskKind::token_lm:
      return std::make_unique<LanguageModelTask>(config);
    case TaskKind::image_generation:
      return std::make_unique<ImageGenerationTask>(config);
    case TaskKind::image_classification:
      return std::make_unique<ImageClassificationTask>(config);
    case TaskKind::graph_regression:
      return std::make_unique<GraphRegressionTask>(config);
  }
  throw ConfigError("task: number {} is none", static_cast<int>(config.task));
}

Picture TrainingSet::picture(int64_t example) const {
  throw ShapeError("training set: there is no picture of example {} to look at", example);
}

std::string EvalSet::prediction_line(const ItemPrediction& prediction) const {
  return value_line(prediction);
}

std::vector<SourcePlan> Task::draw(std::vector<Batch>& /*micro_batches*/, Sources sources, Use use,
                                   const RngKey& key) const {
  return draw_plans(plan_specs(sources, use), key);
}

std::vector<SourcePlan> Task::typical_plans(std::vector<Batch>& micro_batches,
                                            Sources sources) const {
  return draw(micro_batches, sources, Use::training, {.seed = config_.train.seed});
}

Config Task::counted_config() const {
  Config config = config_;
  config.model.attention = AttentionKind::fused;
  return config;
}

ModelInput Task::counted_example(const Model& model, Sources sources) const {
  std::vector<Batch> batches{typical_batch(1)};
  const std::vector<SourcePlan> plans = typical_plans(batches, sources);
  return to_input(batches.front(), to_tensors(plans, Device::counting), model, Device::counting);
}

namespace {

/// Epochs in whole steps. Throws ConfigError naming `key` for more steps than a run can have.
int64_t steps_of(std::string_view key, double epochs, double steps_per_epoch) {
  const double steps = epochs * steps_per_epoch;
  if (steps <= kMostSteps) return std::llround(steps);
  throw ConfigError(
      "{}: {} epochs of {:.1f} steps are {:.3g} steps; a run has at most {:.0e}. The most epochs "
      "of these data: {:.6g}",
      key, epochs, steps_per_epoch, steps, kMostSteps, std::floor(kMostSteps / steps_per_epoch));
}

}  // namespace

Config counted_in_steps(Config config, const TaskData& data) {
  TrainConfig& train = config.train;
  if (train.epochs == 0 && train.schedule.warmup_epochs == 0) return config;
  const double steps_per_epoch = static_cast<double>(data.training(config)->examples_per_epoch()) /
                                 static_cast<double>(train.batch_size);
  if (train.epochs > 0) {
    train.steps = std::max<int64_t>(1, steps_of("train.epochs", train.epochs, steps_per_epoch));
  }
  if (train.schedule.warmup_epochs > 0) {
    train.schedule.warmup_steps =
        steps_of("train.schedule.warmup_epochs", train.schedule.warmup_epochs, steps_per_epoch);
  }
  if (train.schedule.warmup_steps > train.steps) {
    throw ConfigError(
        "train.schedule: a warm-up of {} steps is longer than the training of {} steps (an epoch "
        "of {} has {:.1f} steps); lower train.schedule.warmup_epochs or warmup_steps, or raise "
        "train.epochs or train.steps",
        train.schedule.warmup_steps, train.steps, data.path(), steps_per_epoch);
  }
  return config;
}

Config counted_in_steps(const Config& config) {
  if (config.train.epochs == 0 && config.train.schedule.warmup_epochs == 0) return config;
  const std::unique_ptr<TaskData> data = make_task(config)->open_data();
  return counted_in_steps(data->settled(config), *data);
}

Sources sources_of_step(const Config& config, int64_t step) {
  return step < finetune_start(config) ? Sources::sampled : Sources::all;
}

int64_t StepItem::examples() const {
  int64_t total = 0;
  for (const Batch& batch : micro_batches) total += batch.examples();
  return total;
}

std::vector<SourcePlan> plans_of_step(const Task& task, std::vector<Batch>& micro_batches,
                                      int64_t step, int rank) {
  const Config& config = task.config();
  return task.draw(micro_batches, sources_of_step(config, step), Use::training,
                   {.seed = config.train.seed,
                    .purpose = RngPurpose::plan,
                    .step = static_cast<uint32_t>(step),
                    .rank = static_cast<uint16_t>(rank)});
}

StepItem typical_step(const Task& task) {
  const TrainConfig& train = task.config().train;
  StepItem item;
  for (int64_t first = 0; first < train.batch_size; first += train.micro_batch) {
    item.micro_batches.push_back(task.typical_batch(train.micro_batch));
  }
  item.plans = plans_of_step(task, item.micro_batches, 0);
  return item;
}

}  // namespace ssa
