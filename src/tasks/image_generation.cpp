#include "ssa/tasks/image_generation.h"

#include <algorithm>
#include <filesystem>

#include "ssa/config/config_check.h"
#include "ssa/data/data_name.h"
#include "ssa/data/distribution_augmentation.h"
#include "ssa/data/permutation.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/models/precision.h"
#include "ssa/tasks/token_analysis.h"

#include "tasks/picture_workers.h"
#include "tasks/prediction_line.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = ImageDatasetInfo::kChannels;

/// Sub-pixels of `pictures`, one behind the other, as the fields of ImageDecoder::losses().
/// variants[k] has that of each picture for augmentation number k.
Batch picture_batch(const std::vector<uint8_t>& pictures, int64_t examples,
                    const std::vector<Augmentation>& augmentations,
                    const std::vector<std::vector<int32_t>>& variants) {
  const auto total = static_cast<int64_t>(pictures.size());
  const int64_t length = examples > 0 ? total / examples : 0;
  Batch batch(examples);
  batch.add("ids", DType::i32, {examples, length});
  batch.add("inputs", DType::i32, {examples, length});
  const auto ids = batch.field("ids").values<int32_t>();
  const auto inputs = batch.field("inputs").values<int32_t>();
  for (size_t i = 0; i < pictures.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    ids[i] = pictures[i];
    inputs[i] = at % length == 0 ? static_cast<int32_t>(kPixelValues + at / length) : ids[i - 1];
  }
  if (augmentations.empty()) batch.add("start", DType::i32, {examples});
  for (size_t kind = 0; kind < augmentations.size(); ++kind) {
    batch.add(fmt::format("start.{}", name(augmentations[kind])), {examples},
              std::span<const int32_t>(variants[kind]));
  }
  return batch;
}

/// Training pictures in an order of its own in every epoch, each augmented anew.
class PictureTraining : public TrainingSet {
 public:
  PictureTraining(const ImageDataset& dataset, const Config& config)
      : dataset_(dataset),
        side_(config.data.image_size),
        seed_(config.train.seed),
        augmentations_(config.data.augment),
        images_(images_of(dataset.info(), config, Split::train)),
        pool_(picture_workers(config)) {
    if (images_.size() == 0) {
      throw DataError("data.validation leaves no picture to train on: '{}' has {}", dataset.path(),
                      dataset.info().split_size(Split::train));
    }
  }

  int64_t examples_per_epoch() const override { return images_.size(); }

  Batch batch(int64_t first, int64_t count) const override {
    const auto values = static_cast<size_t>(side_ * side_ * kChannels);
    const std::vector<int32_t> unset(static_cast<size_t>(count));
    std::vector<uint8_t> pictures(static_cast<size_t>(count) * values);
    std::vector<std::vector<int32_t>> variants(augmentations_.size(), unset);
    pool_.run(count, [&](int64_t row) {
      const auto at = static_cast<size_t>(row);
      const auto [epoch, image] = epoch_item(first + row, images_.size(), seed_);
      std::vector<uint8_t> picture = read_picture(dataset_, images_.begin + image, side_).pixels;
      const auto drawn = draw_variants(augmentations_, seed_, epoch, image);
      for (size_t kind = 0; kind < augmentations_.size(); ++kind) {
        augment(picture, side_, augmentations_[kind], drawn[kind]);
        variants[kind][at] = drawn[kind];
      }
      std::ranges::copy(picture, pictures.begin() + static_cast<std::ptrdiff_t>(at * values));
    });
    return picture_batch(pictures, count, augmentations_, variants);
  }

 private:
  ImageDataset dataset_;
  int64_t side_;
  uint64_t seed_;
  std::vector<Augmentation> augmentations_;  // in the order in which they are applied
  TokenRange images_;
  mutable WorkerPool pool_;
};

/// Pictures as they are, each an item of as many terms as it has sub-pixels.
class PictureEvaluation : public EvalSet {
 public:
  PictureEvaluation(const ImageDataset& dataset, const Config& config, TokenRange images)
      : dataset_(dataset),
        side_(config.data.image_size),
        augmentations_(config.data.augment),
        images_(images) {}

  int64_t items() const override { return images_.size(); }
  int64_t terms(int64_t /*item*/) const override { return side_ * side_ * kChannels; }
  int64_t total_terms() const override { return items() * terms(0); }
  Batch batch(int64_t first, int64_t count) const override {
    std::vector<uint8_t> pictures;
    for (int64_t item = first; item < first + count; ++item) {
      const std::vector<uint8_t> picture =
          read_picture(dataset_, images_.begin + item, side_).pixels;
      pictures.insert(pictures.end(), picture.begin(), picture.end());
    }
    const std::vector<int32_t> unchanged(static_cast<size_t>(count), 0);
    return picture_batch(pictures, count, augmentations_,
                         std::vector(augmentations_.size(), unchanged));
  }
  Averaging averaging() const override { return Averaging::log_probabilities; }
  /// By colour and by row: mistakes of the model or of its input often show in one of them.
  std::vector<Partition> partitions() const override {
    std::vector<Partition> all = {{"channels", {"red", "green", "blue"}}, {"rows", {}}};
    for (int64_t row = 0; row < side_; ++row) all.back().parts.push_back(std::to_string(row));
    return all;
  }
  std::vector<double> prediction(int64_t /*item*/, std::span<const double> losses) const override {
    std::vector<double> log_probabilities(losses.begin(), losses.end());
    for (double& value : log_probabilities) value = -value;
    return log_probabilities;
  }
  Score score(int64_t /*item*/, std::span<const double> log_probabilities) const override {
    Score score;
    score.parts.assign(static_cast<size_t>(kChannels + side_), 0.0);
    for (int64_t i = 0; i < std::ssize(log_probabilities); ++i) {
      const double value = log_probabilities[static_cast<size_t>(i)];
      score.loss -= value;
      score.parts[static_cast<size_t>(i % kChannels)] -= value;
      score.parts[static_cast<size_t>(kChannels + i / (side_ * kChannels))] -= value;
    }
    return score;
  }
  std::vector<int32_t> targets(int64_t item) const override {
    const Picture picture = read_picture(dataset_, images_.begin + item, side_);
    return {picture.pixels.begin(), picture.pixels.end()};
  }
  std::string prediction_line(const ItemPrediction& prediction) const override {
    return loss_line(prediction);
  }
  std::unique_ptr<Analysis> analysis() const override {
    return std::make_unique<TokenAnalysis>("sub-pixels", terms(0), [this](int64_t item) {
      return TokenWindow{0, targets(item)};
    });
  }

 private:
  ImageDataset dataset_;
  int64_t side_;
  std::vector<Augmentation> augmentations_;
  TokenRange images_;
};

}  // namespace

PositionShape ImageGenerationTask::grid() const {
  const int64_t side = config().data.image_size;
  return {side, kChannels * side, kChannels};
}

std::unique_ptr<ImageDecoder> ImageGenerationTask::make_decoder(ParameterStore& store) const {
  auto decoder =
      std::make_unique<ImageDecoder>(config().model, grid(), config().data.augment, store);
  decoder->set_precision(to_dtype(config().train.precision));
  decoder->set_activation_checkpointing(config().train.activation_checkpointing);
  return decoder;
}

std::unique_ptr<Model> ImageGenerationTask::make_model(ParameterStore& store) const {
  return make_decoder(store);
}

std::vector<PlanSpec> ImageGenerationTask::plan_specs(Sources sources, Use /*use*/) const {
  const int64_t layers = config().model.layers;
  if (sources == Sources::all) return dense_plan_specs(layers, terms_per_example());
  SsaConfig in_one = config().ssa;  // what is cut into windows are rows, not positions
  in_one.windows = 1;
  std::vector<PlanSpec> specs = decoder_plan_specs(in_one, layers, terms_per_example());
  for (PlanSpec& spec : specs) {
    if (spec.kind != PlanKind::local_1d) continue;
    spec.kind = PlanKind::local_2d;
    spec.windows = config().ssa.windows;
    spec.rows = grid().rows;
    spec.columns = grid().columns;
    spec.sigma_columns = spec.sigma;
    validate(spec);
  }
  return specs;
}

void ImageGenerationTask::check(ConfigCheck& check) const {
  if (check.usable({"model.position"}) && config().model.position != PositionKind::relative_2d) {
    check.fail({"model.position", "task"}, "task image_generation takes relative_2d");
  }
  const auto& kinds = config().data.augment;
  const int64_t side = config().data.image_size;
  const bool jigsaw = std::ranges::find(kinds, Augmentation::jigsaw) != kinds.end();
  if (check.usable({"data.augment", "data.image_size"}) && jigsaw && side % 2 != 0) {
    check.fail(
        {"data.augment", "data.image_size"},
        fmt::format("jigsaw needs an even data.image_size, not {}; the nearest are {} and {}", side,
                    side - 1, side + 1));
  }
  Task::check(check);
}

std::vector<std::string_view> ImageGenerationTask::geometry_keys(Use use) const {
  std::vector<std::string_view> keys = Task::geometry_keys(use);
  keys.push_back("data.image_size");
  return keys;
}

Batch ImageGenerationTask::typical_batch(int64_t examples) const {
  const RngKey key{.purpose = RngPurpose::test};
  std::vector<uint8_t> pictures(static_cast<size_t>(examples * terms_per_example()));
  for (size_t i = 0; i < pictures.size(); ++i) pictures[i] = key.word(i) & 0xff;
  const auto& augmentations = config().data.augment;
  const std::vector<int32_t> unchanged(static_cast<size_t>(examples), 0);
  return picture_batch(pictures, examples, augmentations,
                       std::vector(augmentations.size(), unchanged));
}

std::unique_ptr<TaskData> ImageGenerationTask::open_data() const {
  return std::make_unique<ImageGenerationData>(ImageDataset::open(config().data.path));
}

DataIdentity ImageGenerationData::identity() const {
  const ImageDatasetInfo& info = dataset_.info();
  const std::filesystem::path file = std::filesystem::absolute(path()).lexically_normal();
  return {.bytes = info.images() * info.image_bytes(),
          .checksum = info.checksum,
          .name = name_of_prepared(info.name, file.parent_path().string()),
          .path = file.parent_path().string()};
}

std::vector<std::string> ImageGenerationData::description() const {
  const ImageDatasetInfo& info = dataset_.info();
  return {fmt::format("data {}: {} pictures of {} x {} pixels ({} train, {} valid, {} test), {}",
                      path(), info.images(), info.width, info.height, info.split_size(Split::train),
                      info.split_size(Split::valid), info.split_size(Split::test),
                      info.split_description())};
}

Config ImageGenerationData::settled(Config config) const {
  const ImageDatasetInfo& info = dataset_.info();
  if (info.height != info.width) {
    throw ConfigError("data.path '{}' holds pictures of {} x {} pixels; they must be square",
                      path(), info.width, info.height);
  }
  int64_t& side = config.data.image_size;
  if (info.height % side != 0) {
    throw ConfigError(
        "data.image_size is {}, but the pictures of data.path '{}' have {} pixels a side, which it "
        "must divide",
        side, path(), info.height);
  }
  if (config.data.validation >= info.split_size(Split::train)) {
    throw ConfigError("data.validation is {}, but data.path '{}' has {} training pictures",
                      config.data.validation, path(), info.split_size(Split::train));
  }
  config.data.name = settled_name(config.data.name, identity().name);
  return config;
}

std::unique_ptr<TrainingSet> ImageGenerationData::training(const Config& config) const {
  return std::make_unique<PictureTraining>(dataset_, config);
}

bool ImageGenerationData::has_split(const Config& config, Split split) const {
  const ImageDatasetInfo& info = dataset_.info();
  const bool is_test = images_of(info, config, split) == images_of(info, config, Split::test);
  return images_of(info, config, split).size() > 0 && (split == Split::test || !is_test);
}

std::unique_ptr<EvalSet> ImageGenerationData::evaluation(const Config& config, Split split,
                                                         int64_t most_terms) const {
  TokenRange images = images_of(dataset_.info(), config, split);
  if (images.size() == 0) {
    throw DataError("data.path '{}' has no {} pictures{}", path(), name(split),
                    split == Split::valid ? "; set data.validation to take the last of train" : "");
  }
  if (most_terms > 0) {
    const int64_t terms = config.data.image_size * config.data.image_size * kChannels;
    images.end = std::min(images.end, images.begin + std::max<int64_t>(1, most_terms / terms));
  }
  return std::make_unique<PictureEvaluation>(dataset_, config, images);
}

TokenRange images_of(const ImageDatasetInfo& info, const Config& config, Split split) {
  const auto range = [&info](Split of) { return info.splits[static_cast<size_t>(of)]; };
  const TokenRange train = range(Split::train);
  const int64_t kept = train.end - config.data.validation;
  if (split == Split::train) return {train.begin, kept};
  if (split == Split::test) return range(Split::test);
  if (config.data.validation > 0) return {kept, train.end};
  return range(Split::valid).size() > 0 ? range(Split::valid) : range(Split::test);
}

Picture shrunk(Picture picture, int64_t side) {
  const int64_t width = picture.width, factor = width / side;
  if (factor == 1) return picture;
  Picture small{side, side, {}};
  for (int64_t row = 0; row < side; ++row) {
    for (int64_t column = 0; column < side; ++column) {
      for (int64_t channel = 0; channel < kChannels; ++channel) {
        int64_t sum = 0;
        for (int64_t y = row * factor; y < (row + 1) * factor; ++y) {
          for (int64_t x = column * factor; x < (column + 1) * factor; ++x) {
            sum += picture.pixels[static_cast<size_t>((y * width + x) * kChannels + channel)];
          }
        }
        const int64_t mean = (sum + factor * factor / 2) / (factor * factor);
        small.pixels.push_back(static_cast<uint8_t>(mean));
      }
    }
  }
  return small;
}

Picture read_picture(const ImageDataset& dataset, int64_t image, int64_t side) {
  const ImageDatasetInfo& info = dataset.info();
  Picture whole{info.height, info.width,
                std::vector<uint8_t>(static_cast<size_t>(info.image_bytes()))};
  dataset.read(image, whole.pixels);
  return shrunk(std::move(whole), side);
}

}  // namespace ssa
