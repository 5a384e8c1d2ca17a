#include "tasks/labeled_pictures.h"

#include <algorithm>
#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/data/permutation.h"
#include "ssa/tasks/classification_analysis.h"

#include "tasks/picture_workers.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = 3;

TrainTransform train_transform(const DataConfig& data) {
  TrainTransform transform;
  transform.size = data.image_size;
  transform.crop = {data.crop.min_area, data.crop.max_area, data.crop.min_ratio,
                    data.crop.max_ratio};
  transform.flip_probability = data.flip;
  transform.rand_augment = {data.rand_augment.operations, data.rand_augment.probability,
                            data.rand_augment.magnitude, data.rand_augment.magnitude_std};
  transform.erasing.probability = data.erasing.probability;
  transform.erasing.range.min_area = data.erasing.min_area;
  transform.erasing.range.max_area = data.erasing.max_area;
  return transform;
}

void set_labels(Batch& batch, int64_t row, int64_t label, int64_t partner_label, double share) {
  const auto at = static_cast<size_t>(2 * row);
  const auto labels = batch.field("labels").values<int32_t>();
  const auto weights = batch.field("weights").values<float>();
  labels[at] = static_cast<int32_t>(label);
  labels[at + 1] = static_cast<int32_t>(partner_label);
  weights[at] = static_cast<float>(share);
  weights[at + 1] = static_cast<float>(1 - share);
}

/// (3, pixels) → (pixels, 3)
void interleave(std::span<const float> planes, float* out) {
  const size_t pixels = planes.size() / kChannels;
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t c = 0; c < kChannels; ++c) out[i * kChannels + c] = planes[c * pixels + i];
  }
}

}  // namespace

Batch labeled_batch(int64_t examples, DType pixels, int64_t side) {
  Batch batch(examples);
  batch.add("images", pixels, {examples, side, side, kChannels});
  batch.add("labels", DType::i32, {examples, 2});
  batch.add("weights", DType::f32, {examples, 2});
  return batch;
}

LabeledTraining::LabeledTraining(EncodedImages images, const Config& config)
    : images_(std::move(images)),
      pictures_(images_.info().splits[static_cast<size_t>(Split::train)]),
      transform_(train_transform(config.data)),
      mixing_{config.data.mixing.probability, config.data.mixing.mixup_alpha,
              config.data.mixing.cutmix_alpha, config.data.mixing.switch_probability},
      batch_size_(config.train.batch_size),
      seed_(config.train.seed),
      on_bad_image_(config.data.on_bad_image) {
  if (pictures_.size() == 0)
    throw DataError("data.path '{}' has no train pictures", images_.path());
  pool_ = std::make_unique<WorkerPool>(picture_workers(config));
}

LabeledTraining::Loaded LabeledTraining::load(int64_t number) const {
  const int64_t count = pictures_.size();
  const auto [epoch, chosen] = epoch_item(number, count, seed_);
  for (int64_t tried = 0;; ++tried) {
    const int64_t image = pictures_.begin + (chosen + tried) % count;
    try {
      const ImageVisit visit{.seed = seed_, .epoch = epoch, .image = image};
      return {transform_.augment(images_.file(image), images_.name_of(image), visit), visit,
              images_.label(image)};
    } catch (const DataError& error) {
      if (on_bad_image_ == OnBadImage::error || tried + 1 == count) throw;
      warn_of(image, error.what());
    }
  }
}

void LabeledTraining::warn_of(int64_t image, const std::string& what) const {
  const std::lock_guard lock(mutex_);
  if (!bad_.insert(image).second) return;
  spdlog::warn("{}\nThe next picture takes its place (data.on_bad_image: skip), as for {} so far.",
               what, bad_.size());
}

Mix LabeledTraining::mix_of(int64_t number) const {
  return draw_mix(mixing_, transform_.size, transform_.size, seed_, number / batch_size_);
}

int64_t LabeledTraining::partner(int64_t number) const {
  const int64_t row = number % batch_size_;
  return mix_of(number).lambda < 1 ? number - row + partner_of(row, batch_size_) : number;
}

Batch LabeledTraining::batch(int64_t first, int64_t count) const {
  std::vector<int64_t> numbers;
  for (int64_t number = first; number < first + count; ++number) numbers.push_back(number);
  for (const int64_t end : {first, first + count - 1}) {  // partners in another micro-batch
    const int64_t other = partner(end);
    if (std::ranges::find(numbers, other) == numbers.end()) numbers.push_back(other);
  }
  const int64_t side = transform_.size;
  const auto values = static_cast<size_t>(kChannels * side * side);
  std::vector<float> planes(numbers.size() * values);
  std::vector<int64_t> labels(numbers.size());
  const auto planes_of = [&](size_t at) { return std::span(planes).subspan(at * values, values); };
  pool_->run(std::ssize(numbers), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    const Loaded loaded = load(numbers[at]);
    transform_.to_planes(loaded.picture, loaded.visit, planes_of(at));
    labels[at] = loaded.label;
  });
  Batch batch = labeled_batch(count, DType::f32, side);
  float* const out = batch.field("images").values<float>().data();
  pool_->run(count, [&](int64_t row) {
    const auto at = static_cast<size_t>(row);
    const auto other =
        static_cast<size_t>(std::ranges::find(numbers, partner(numbers[at])) - numbers.begin());
    const Mix mix = mix_of(numbers[at]);
    const auto own = planes_of(at);
    std::vector<float> mixed(own.begin(), own.end());
    if (other != at) mix_image(mix, side, side, mixed, planes_of(other));
    interleave(mixed, out + at * values);
    set_labels(batch, row, labels[at], labels[other], mix.lambda);
  });
  return batch;
}

Picture LabeledTraining::picture(int64_t example) const {
  const Batch one = batch(example, 1);
  const Normalization& normal = transform_.normalization;
  Picture picture{transform_.size, transform_.size, {}};
  for (const float value : one.field("images").values<float>()) {
    const size_t channel = picture.pixels.size() % kChannels;
    const float light = 255 * (value * normal.stddev[channel] + normal.mean[channel]);
    picture.pixels.push_back(static_cast<uint8_t>(std::clamp(std::rint(light), 0.0F, 255.0F)));
  }
  return picture;
}

LabeledEvaluation::LabeledEvaluation(EncodedImages images, const Config& config,
                                     TokenRange pictures, int64_t items)
    : images_(std::move(images)),
      pictures_(pictures),
      items_(items),
      transform_{.resize = config.data.resize, .crop = config.data.image_size},
      pool_(std::make_unique<WorkerPool>(picture_workers(config))) {}

int64_t LabeledEvaluation::image(int64_t item) const {
  return pictures_.begin + item * pictures_.size() / items_;
}

Batch LabeledEvaluation::batch(int64_t first, int64_t count) const {
  Batch batch = labeled_batch(count, DType::u8, transform_.crop);
  const auto out = batch.field("images").values<uint8_t>();
  pool_->run(count, [&](int64_t row) {
    const int64_t number = image(first + row);
    const Picture picture =
        transform_.crop_of(decode_picture(images_.file(number), images_.name_of(number)));
    std::ranges::copy(picture.pixels,
                      out.begin() + row * static_cast<int64_t>(picture.pixels.size()));
    set_labels(batch, row, images_.label(number), images_.label(number), 1);
  });
  return batch;
}

std::vector<double> LabeledEvaluation::prediction(int64_t /*item*/,
                                                  std::span<const double> predicted) const {
  return {predicted.begin(), predicted.end()};
}

Score LabeledEvaluation::score(int64_t item, std::span<const double> log_probabilities) const {
  return classification_score(log_probabilities, images_.label(image(item)), item);
}

std::string LabeledEvaluation::prediction_line(const ItemPrediction& prediction) const {
  return classification_line(prediction, images_.label(image(prediction.item)));
}

std::unique_ptr<Analysis> LabeledEvaluation::analysis() const {
  std::vector<int64_t> labels;
  for (int64_t item = 0; item < items_; ++item) labels.push_back(images_.label(image(item)));
  return std::make_unique<ClassificationAnalysis>(
      images_.info().classes,
      [labels = std::move(labels)](int64_t item) { return labels[static_cast<size_t>(item)]; });
}

}  // namespace ssa
