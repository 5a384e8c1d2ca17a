#pragma once

#include "ssa/data/image_dataset.h"
#include "ssa/data/picture.h"
#include "ssa/models/image_decoder.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Predicting a picture sub-pixel by sub-pixel (Child et al. 2019; Jun et al. 2020).
///
/// The sequence of a picture is its rows, in a row its pixels, in a pixel red, green and blue: cell
/// (row, sub-pixel column) of a grid of `data.image_size` rows and three times as many columns. An
/// example is a picture; a term of its loss is a sub-pixel.
class ImageGenerationTask : public Task {
 public:
  explicit ImageGenerationTask(const Config& config) : Task(config) {}

  int64_t terms_per_example() const override { return grid().rows * grid().columns; }
  std::unique_ptr<Model> make_model(ParameterStore& store) const override;
  std::unique_ptr<ImageDecoder> make_decoder(ParameterStore& store) const;
  /// Local subsampling is causal bands of rows (PlanKind::local_2d), ssa.windows of them, ssa.sigma
  /// a fraction of the rows and of the columns.
  std::vector<PlanSpec> plan_specs(Sources sources, Use use) const override;
  void check(ConfigCheck& check) const override;
  std::vector<std::string_view> geometry_keys(Use use) const override;
  Batch typical_batch(int64_t examples) const override;
  std::unique_ptr<TaskData> open_data() const override;

 private:
  PositionShape grid() const;
};

/// Pictures, as a task's data.
class ImageGenerationData : public TaskData {
 public:
  explicit ImageGenerationData(ImageDataset dataset) : dataset_(std::move(dataset)) {}

  const ImageDataset& dataset() const { return dataset_; }
  const std::string& path() const override { return dataset_.path(); }
  DataIdentity identity() const override;
  std::vector<std::string> description() const override;
  Config settled(Config config) const override;
  std::unique_ptr<TrainingSet> training(const Config& config) const override;
  bool has_split(const Config& config, Split split) const override;
  /// Whole pictures, each scored once.
  std::unique_ptr<EvalSet> evaluation(const Config& config, Split split,
                                      int64_t most_terms) const override;

 private:
  ImageDataset dataset_;
};

/// Images first … of a split. The last `data.validation` images of train are its valid split; where
/// that is 0, it is the valid split of the data, or where there is none their test split.
TokenRange images_of(const ImageDatasetInfo& info, const Config& config, Split split);

/// A square picture at `side` pixels, which divides its own: each pixel is the mean of the square
/// of pixels that it stands for, rounded to the nearest.
Picture shrunk(Picture picture, int64_t side);
/// A picture of a data set, shrunk to the side that a config asks for.
Picture read_picture(const ImageDataset& dataset, int64_t image, int64_t side);

}  // namespace ssa
