#include "ssa/models/image_decoder.h"

#include <cmath>

#include "ssa/backend/counting.h"

#include "models/likely_classes.h"

namespace ssa {

ImageDecoder::ImageDecoder(const ModelConfig& model, const PositionShape& grid,
                           std::span<const Augmentation> augmentations, ParameterStore& store)
    : model_(model),
      grid_(grid),
      augmentations_(augmentations.begin(), augmentations.end()),
      device_(store.device()),
      precision_(store.dtype()) {
  const Init init = embedding_init(model.width);
  embedding_ = store.add("embedding.weight", {kPixelValues, model.width}, init);
  for (const Augmentation kind : augmentations) {
    starts_.push_back(
        store.add(fmt::format("start.{}.weight", name(kind)), {variants(kind), model.width}, init));
  }
  if (starts_.empty()) starts_.push_back(store.add("start.weight", {1, model.width}, init));
  decoder_.emplace(model, grid, store);
  const Variable output = model.embedding.tie_weights
                              ? embedding_
                              : store.add("output.weight", {kPixelValues, model.width}, init);
  output_ = {output, Variable()};
}

std::string ImageDecoder::start_field(size_t kind) const {
  return augmentations_.empty() ? "start" : fmt::format("start.{}", name(augmentations_[kind]));
}

Variable ImageDecoder::table_with(const std::vector<Tensor>& starts) const {
  Variable start;
  for (size_t kind = 0; kind < starts_.size(); ++kind) {
    const Variable& rows = starts_[kind];
    const Variable row = ops::embedding(rows, starts[kind], 1.0, rows.value().dtype());
    start = start.defined() ? ops::add(start, row) : row;
  }
  return ops::concat_rows({embedding_, start});
}

Variable ImageDecoder::embedded(const Variable& table, const Tensor& inputs) const {
  const VocabularyPart part;
  const double scale = std::sqrt(static_cast<double>(model_.width));
  return ops::embedding(table, inputs.view({inputs.numel()}), scale, precision_);
}

Variable ImageDecoder::hidden(const ModelInput& input, const nn::Context& context) const {
  const Tensor& inputs = input.field("inputs");
  std::vector<Tensor> starts;
  for (size_t kind = 0; kind < starts_.size(); ++kind) {
    starts.push_back(input.field(start_field(kind)));
  }
  const Variable x = embedded(table_with(starts), inputs);
  return (*decoder_)(x, inputs.dim(0), input.plans, context);
}

Variable ImageDecoder::losses_of(const Variable& hidden, const ModelInput& input) const {
  const Tensor& ids = input.field("ids");
  const VocabularyPart part;
  return ops::cross_entropy(ops::wide_linear(hidden, output_), ids.view({ids.numel()}));
}

Variable ImageDecoder::losses(const ModelInput& input, const nn::Context& context) const {
  return losses_of(hidden(input, context), input);
}

Tensor ImageDecoder::predictions(const ModelInput& input) const {
  const NoGrad guard;
  return losses(input, nn::Context{}).value();
}

Tensor ImageDecoder::ranked_predictions(const ModelInput& input, int64_t most,
                                        LikelyClasses& likely) const {
  const NoGrad guard;
  const Variable x = hidden(input, {});
  likely = likely_classes(x.value(), {}, most, [&](const Tensor& rows) {
    Tensor logs = scores(Variable(rows));
    ops::log_softmax(logs);
    return logs;
  });
  return losses_of(x, input).value();
}

DecoderCache ImageDecoder::make_cache(int64_t images) const {
  return decoder_->make_cache(grid_.rows * grid_.columns, images, precision_);
}

int64_t ImageDecoder::cache_bytes(int64_t images) const {
  const int64_t numbers = 2 * model_.layers * grid_.rows * grid_.columns * model_.width;
  return images * numbers * static_cast<int64_t>(size_of(precision_));
}

Tensor ImageDecoder::scores(const Variable& hidden) const {
  const VocabularyPart part;
  return ops::wide_linear(hidden, output_).value();
}

Tensor ImageDecoder::read_start(DecoderCache& cache) const {
  const NoGrad guard;
  const int64_t images = cache.sub_models();
  std::vector<int32_t> inputs;
  for (int64_t i = 0; i < images; ++i) inputs.push_back(static_cast<int32_t>(kPixelValues + i));
  const auto to_device = [&](const std::vector<int32_t>& values) {
    return Tensor::from(values, {images}, device_, MemoryCategory::data);
  };
  const Tensor unchanged = to_device(std::vector<int32_t>(static_cast<size_t>(images), 0));
  const Variable table = table_with(std::vector<Tensor>(starts_.size(), unchanged));
  return scores(decoder_->read(embedded(table, to_device(inputs)), 1, cache));
}

Tensor ImageDecoder::read(std::span<const int32_t> values, int64_t count,
                          DecoderCache& cache) const {
  const NoGrad guard;
  const auto total = static_cast<int64_t>(values.size());
  SSA_CHECK(count > 0 && total == count * cache.sub_models(),
            "image decoder: {} sub-pixels for {} pictures of {}", total, cache.sub_models(), count);
  const Tensor inputs = Tensor::from(std::vector<int32_t>(values.begin(), values.end()), {total},
                                     device_, MemoryCategory::data);
  return scores(decoder_->read(embedded(embedding_, inputs), count, cache));
}

}  // namespace ssa
