#include "ssa/tasks/image_classification.h"

#include <filesystem>

#include "ssa/config/config_check.h"
#include "ssa/core/philox.h"
#include "ssa/data/data_name.h"
#include "ssa/models/precision.h"

#include "tasks/labeled_pictures.h"

namespace ssa {

SwinShape swin_shape(const Config& config) {
  const SwinConfig& swin = config.model.swin;
  return {.image_size = config.data.image_size,
          .patch = swin.patch,
          .embed_width = swin.embed_width,
          .depths = swin.depths,
          .heads = swin.heads,
          .window = swin.window,
          .ffn_ratio = swin.ffn_ratio,
          .drop_path = swin.drop_path,
          .classes = config.data.classes,
          .label_smoothing = config.train.label_smoothing};
}

std::unique_ptr<Model> ImageClassificationTask::make_model(ParameterStore& store) const {
  if (config().data.classes == 0) {
    throw ConfigError(
        "data.classes is 0 (from the data set), and no data are open here; set the number of "
        "classes, as in --set data.classes=1000");
  }
  auto swin = std::make_unique<Swin>(swin_shape(config()), store);
  swin->set_precision(to_dtype(config().train.precision));
  swin->set_activation_checkpointing(config().train.activation_checkpointing);
  return swin;
}

std::vector<PlanSpec> ImageClassificationTask::plan_specs(Sources sources, Use /*use*/) const {
  SsaConfig ssa = config().ssa;
  if (sources == Sources::all) ssa.kind = SsaKind::none;
  return swin_plan_specs(swin_shape(config()), ssa);
}

namespace {

/// min ≤ max, for a pair of keys that end in min_WHAT and max_WHAT.
void check_range(ConfigCheck& check, std::string_view low_key, double low,
                 std::string_view high_key, double high) {
  if (!check.usable({low_key, high_key}) || low <= high) return;
  check.fail({low_key, high_key},
             fmt::format("{} {} is above {} {}", low_key, low, high_key, high));
}

/// What timm's and torchvision's resizes and crops need.
void check_recipe(ConfigCheck& check) {
  const DataConfig& data = check.config().data;
  check_range(check, "data.crop.min_area", data.crop.min_area, "data.crop.max_area",
              data.crop.max_area);
  check_range(check, "data.crop.min_ratio", data.crop.min_ratio, "data.crop.max_ratio",
              data.crop.max_ratio);
  check_range(check, "data.erasing.min_area", data.erasing.min_area, "data.erasing.max_area",
              data.erasing.max_area);
  if (check.usable({"data.resize", "data.image_size"}) && data.resize < data.image_size) {
    check.fail({"data.resize", "data.image_size"},
               fmt::format("data.resize {} is less than data.image_size {}, which is cut from it",
                           data.resize, data.image_size));
  }
}

}  // namespace

void ImageClassificationTask::check(ConfigCheck& check) const {
  check_recipe(check);
  const std::vector<std::string_view> sizes = {"model.swin.window",      "model.swin.patch",
                                               "model.swin.depths",      "model.swin.heads",
                                               "model.swin.embed_width", "data.image_size"};
  const std::vector<std::string_view> sampling = {"ssa.layers", "ssa.windows", "ssa.drop",
                                                  "ssa.kind", "model.swin.window"};
  if (!check.usable(sizes)) return;
  const std::vector<std::string_view>* keys = &sizes;
  try {
    swin_stages(swin_shape(config()));
    keys = &sampling;
    if (!check.usable(sampling)) return;
    for (const PlanSpec& spec : plan_specs(Sources::sampled, Use::training)) validate(spec);
  } catch (const ConfigError& error) {
    check.fail(*keys, error.what());
  }
}

Batch ImageClassificationTask::typical_batch(int64_t examples) const {
  const int64_t classes = config().data.classes;
  Batch batch = labeled_batch(examples, DType::f32, config().data.image_size);
  const RngKey key{.purpose = RngPurpose::test};
  const auto images = batch.field("images").values<float>();
  for (size_t i = 0; i < images.size(); ++i) {
    images[i] = static_cast<float>(4 * uniform_open(key.word(i)) - 2);
  }
  const auto labels = batch.field("labels").values<int32_t>();
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<int32_t>(static_cast<int64_t>(i) % std::max<int64_t>(1, classes));
  }
  for (float& weight : batch.field("weights").values<float>()) weight = 0.5F;
  return batch;
}

std::unique_ptr<TaskData> ImageClassificationTask::open_data() const {
  return std::make_unique<ImageClassificationData>(EncodedImages::open(config().data.path));
}

DataIdentity ImageClassificationData::identity() const {
  const EncodedImagesInfo& info = images_.info();
  const bool official = info.split_description().starts_with("official");
  return {.bytes = info.bytes,
          .checksum = info.checksum,
          .name = official ? info.name : name_of_prepared(info.name, path()),
          .path = std::filesystem::absolute(path()).lexically_normal().string()};
}

std::vector<std::string> ImageClassificationData::description() const {
  const EncodedImagesInfo& info = images_.info();
  std::vector<std::string> lines = {fmt::format(
      "data {}: {} pictures of {} classes ({} train, {} valid, {} test), {}", path(), info.images(),
      info.classes.size(), info.split_size(Split::train), info.split_size(Split::valid),
      info.split_size(Split::test), info.split_description())};
  if (info.resize > 0) {
    lines.push_back(fmt::format(
        "data {}: pictures are smaller copies (shorter side {}, JPEG quality {}); results differ "
        "from those on the originals",
        path(), info.resize, info.quality));
  }
  return lines;
}

Config ImageClassificationData::settled(Config config) const {
  const auto classes = std::ssize(images_.info().classes);
  if (config.data.classes != 0 && config.data.classes != classes) {
    throw ConfigError(
        "data.classes is {}, but data.path '{}' has {} classes; set data.classes to {}, or to 0 to "
        "take the data's",
        config.data.classes, path(), classes, classes);
  }
  config.data.classes = classes;
  config.data.name = settled_name(config.data.name, identity().name);
  return config;
}

std::unique_ptr<TrainingSet> ImageClassificationData::training(const Config& config) const {
  return std::make_unique<LabeledTraining>(images_, config);
}

std::unique_ptr<EvalSet> ImageClassificationData::evaluation(const Config& config, Split split,
                                                             int64_t most_terms) const {
  const EncodedImagesInfo& info = images_.info();
  if (split == Split::test && info.split_size(Split::test) == 0) split = Split::valid;
  const TokenRange pictures = info.splits[static_cast<size_t>(split)];
  if (pictures.size() == 0)
    throw DataError("data.path '{}' has no {} pictures", path(), name(split));
  const int64_t items = most_terms > 0 ? std::min(most_terms, pictures.size()) : pictures.size();
  return std::make_unique<LabeledEvaluation>(images_, config, pictures, items);
}

}  // namespace ssa
