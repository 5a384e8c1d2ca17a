#pragma once

#include "ssa/data/encoded_images.h"
#include "ssa/models/swin.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// The Swin transformer that a config describes.
SwinShape swin_shape(const Config& config);

/// Naming what a picture shows (Liu et al. 2021). An example is a picture, and so is a term of its
/// loss. The recipe of training is that of ssa/data/image_transform.h and mixing.h, with the
/// numbers of the config.
class ImageClassificationTask : public Task {
 public:
  explicit ImageClassificationTask(const Config& config) : Task(config) {}

  int64_t terms_per_example() const override { return 1; }
  /// Throws ConfigError where data.classes is not known yet.
  std::unique_ptr<Model> make_model(ParameterStore& store) const override;
  /// swin_plan_specs(): ssa.windows squares in each (shifted) window of attention.
  std::vector<PlanSpec> plan_specs(Sources sources, Use use) const override;
  void check(ConfigCheck& check) const override;
  Batch typical_batch(int64_t examples) const override;
  std::unique_ptr<TaskData> open_data() const override;
};

/// Labeled pictures, as a task's data.
class ImageClassificationData : public TaskData {
 public:
  explicit ImageClassificationData(EncodedImages images) : images_(std::move(images)) {}

  const EncodedImages& images() const { return images_; }
  const std::string& path() const override { return images_.path(); }
  DataIdentity identity() const override;
  std::vector<std::string> description() const override;
  Config settled(Config config) const override;
  std::unique_ptr<TrainingSet> training(const Config& config) const override;
  bool has_split(const Config& /*config*/, Split split) const override {
    return images_.info().split_size(split) > 0;
  }
  /// Whole pictures, each scored once. With `most_terms`, as many of them, evenly spread: they are
  /// sorted by class. Where there is no test split, "test" is the valid split, as is usual with
  /// ImageNet.
  std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                      int64_t most_terms) const override;

 private:
  EncodedImages images_;
};

}  // namespace ssa
