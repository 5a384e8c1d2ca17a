#include "ssa/tasks/cost.h"

#include "ssa/backend/counting.h"
#include "ssa/tasks/model_input.h"

namespace ssa {

namespace {

/// The forward pass of one example.
Tally count_forward(const Task& task, Sources sources) {
  const Count count;
  const NoGrad guard;
  ParameterStore store(Device::counting, DType::f32, 0);
  const std::unique_ptr<Model> model = task.make_model(store);
  model->losses(task.counted_example(*model, sources), {});
  return count.tally();
}

}  // namespace

TrainingCost training_cost(const Config& config, const TaskFactory& make) {
  const std::unique_ptr<Task> task = make(make(config)->counted_config());
  const Tally sampled = count_forward(*task, Sources::sampled);
  const Tally dense = count_forward(*task, Sources::all);
  const std::optional<double> stated = task->stated_ratio();
  const double products = stated ? sampled.product_flop() : dense.product_flop();
  const auto terms = static_cast<double>(task->terms_per_example());
  TrainingCost cost;
  cost.forward_flop_per_token = (products + sampled.attention_flop) / terms;
  cost.dense_forward_flop_per_token = (dense.product_flop() + dense.attention_flop) / terms;
  const auto steps = static_cast<double>(config.train.steps);
  const double sampled_part = static_cast<double>(finetune_start(config)) / steps;
  const double average = sampled_part * cost.forward_flop_per_token +
                         (1 - sampled_part) * cost.dense_forward_flop_per_token;
  cost.compute_ratio = stated ? sampled_part * *stated + (1 - sampled_part)
                              : average / cost.dense_forward_flop_per_token;
  cost.train_exaflop =
      average * steps * static_cast<double>(config.train.batch_size) * terms * 1e-18;
  return cost;
}

int64_t parameter_count(const Config& config, const TaskFactory& make) {
  ParameterStore store = ParameterStore::dry();
  make(config)->make_model(store);
  return store.count();
}

}  // namespace ssa
