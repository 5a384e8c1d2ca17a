#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "ssa/data/encoded_images.h"
#include "ssa/data/image_transform.h"
#include "ssa/data/mixing.h"
#include "ssa/data/worker_pool.h"
#include "ssa/tasks/task.h"

namespace ssa {

// What image classification reads: pictures and their labels as the fields of Swin::losses(). The
// pictures of a batch are decoded by a pool of data.workers threads.

/// A batch of zeros: `images` (examples, side, side, 3), `labels` and `weights` (examples, 2).
Batch labeled_batch(int64_t examples, DType pixels, int64_t side);

/// Training pictures in an order of its own in every epoch, each augmented anew and mixed with its
/// partner in the step's batch (mixing.h). `images` are normalised f32.
class LabeledTraining : public TrainingSet {
 public:
  /// Throws DataError if there is no training picture.
  LabeledTraining(EncodedImages images, const Config& config);

  int64_t examples_per_epoch() const override { return pictures_.size(); }
  Batch batch(int64_t first, int64_t count) const override;
  Picture picture(int64_t example) const override;

 private:
  struct Loaded {
    Picture picture;
    ImageVisit visit;
    int64_t label = 0;
  };
  Loaded load(int64_t number) const;
  void warn_of(int64_t image, const std::string& what) const;
  Mix mix_of(int64_t number) const;
  /// The example that this one is mixed with; itself where it is not.
  int64_t partner(int64_t number) const;

  EncodedImages images_;
  TokenRange pictures_;  // of the train split
  TrainTransform transform_;
  Mixing mixing_;
  int64_t batch_size_;
  uint64_t seed_;
  OnBadImage on_bad_image_;
  std::unique_ptr<WorkerPool> pool_;
  mutable std::mutex mutex_;
  mutable std::set<int64_t> bad_;  // images that a warning has named; guarded by mutex_
};

/// Pictures of a split as evaluation sees them, each an item of one term. `images` are u8.
class LabeledEvaluation : public EvalSet {
 public:
  /// `items` of the pictures, evenly spread over them.
  LabeledEvaluation(EncodedImages images, const Config& config, TokenRange pictures, int64_t items);

  int64_t items() const override { return items_; }
  int64_t terms(int64_t /*item*/) const override { return 1; }
  int64_t total_terms() const override { return items_; }
  Batch batch(int64_t first, int64_t count) const override;
  Averaging averaging() const override { return Averaging::log_probabilities; }
  std::vector<double> prediction(int64_t item, std::span<const double> predicted) const override;
  Score score(int64_t item, std::span<const double> log_probabilities) const override;
  std::string prediction_line(const ItemPrediction& prediction) const override;
  std::unique_ptr<Analysis> analysis() const override;

 private:
  int64_t image(int64_t item) const;

  EncodedImages images_;
  TokenRange pictures_;
  int64_t items_;
  EvalTransform transform_;
  std::unique_ptr<WorkerPool> pool_;
};

}  // namespace ssa
