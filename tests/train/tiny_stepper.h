#pragma once

#include <string_view>
#include <vector>

#include "ssa/data/lm_sampler.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/stepper.h"

#include "train/tiny_run.h"

namespace ssa::testing {

/// A model in training, ready for steps of a config that differs from the tiny one.
struct TinyStepper {
  explicit TinyStepper(const Overrides& overrides, Device device = Device::cpu)
      : config(run.config(overrides)),
        dataset(TokenDataset::open(run.text_path)),
        task(config),
        stepper(task, device) {}

  StepItem item(int64_t number) const {
    const LmSampler sampler(1, dataset.split_size(Split::train), config.data.length);
    const int64_t batch = config.train.batch_size, micro = config.train.micro_batch;
    StepItem item;
    for (int64_t done = 0; done < batch; done += micro) {
      item.micro_batches.push_back(
          sampler.batch(dataset, Split::train, number * batch + done, micro));
    }
    item.plans = plans_of_step(task, item.micro_batches, number);
    return item;
  }
  StepResult step(int64_t number = 0) { return stepper.step(number, item(number)); }
  std::vector<double> gradients() const {
    std::vector<double> all;
    for (const Parameter& parameter : stepper.session().parameters().all()) {
      append(all, parameter.variable.grad());
    }
    return all;
  }
  std::vector<double> parameters() const { return parameters_except({}); }
  /// The parameters whose names do not end with `suffix`.
  std::vector<double> parameters_except(std::string_view suffix) const {
    std::vector<double> all;
    for (const Parameter& parameter : stepper.session().parameters().all()) {
      if (!suffix.empty() && parameter.name.ends_with(suffix)) continue;
      append(all, parameter.variable.value());
    }
    return all;
  }

  TinyRun run;
  Config config;
  TokenDataset dataset;
  LanguageModelTask task;
  Stepper stepper;

 private:
  static void append(std::vector<double>& all, const Tensor& tensor) {
    const std::vector<double> part = values(tensor);
    all.insert(all.end(), part.begin(), part.end());
  }
};

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace ssa::testing
