#include "ssa/models/swin.h"

#include <cmath>

#include "ssa/core/trace_range.h"

namespace ssa {

namespace {

constexpr int64_t kChannels = 3;
/// Mean and deviation of ImageNet's channels, which published weights expect.
const std::vector<double> kMean = {0.485, 0.456, 0.406}, kDeviation = {0.229, 0.224, 0.225};

/// Initial weights of all linear maps but the patch embedding. The published code cuts them at ±100
/// standard deviations, which is no cut.
const Init kInit = Init::normal(0.02);

/// Where the cells of each 2×2 square are: its left column, then its right one, top cell first.
std::vector<int32_t> squares(int64_t side) {
  std::vector<int32_t> cells;
  for (int64_t row = 0; row < side; row += 2) {
    for (int64_t column = 0; column < side; column += 2) {
      for (const int64_t right : {0, 1}) {
        for (const int64_t down : {0, 1}) {
          cells.push_back(static_cast<int32_t>((row + down) * side + column + right));
        }
      }
    }
  }
  return cells;
}

std::string stage_name(size_t stage) { return fmt::format("stages.{}", stage); }

}  // namespace

PatchMerging::PatchMerging(ParameterStore& store, const std::string& name, int64_t side,
                           int64_t width)
    : cells_(Tensor::from(squares(side), {side * side}, store.device(), MemoryCategory::data)),
      norm_(store, name + ".merge_norm", 4 * width),
      map_(store.add(name + ".merge.weight", {2 * width, 4 * width}, kInit), Variable()) {}

Variable PatchMerging::operator()(const Variable& x, int64_t batch) const {
  const Variable sorted = ops::gather_rows(x, batch, cells_);
  return norm_(ops::reshape(sorted, {x.dim(0) / 4, 4 * x.dim(1)}), map_);
}

SwinBlock::SwinBlock(ParameterStore& store, const std::string& name, const SwinStageShape& stage,
                     int64_t ffn_ratio, double drop_path)
    : attention_norm_(store, name + ".attention_norm", stage.width),
      attention_(store, name + ".attention", stage.width, stage.heads, 0.0,
                 {stage.window, stage.window}, {}, kInit),
      ffn_norm_(store, name + ".ffn_norm", stage.width),
      ffn_(store, name + ".ffn", stage.width, ffn_ratio * stage.width, Activation::gelu, 0.0,
           kInit),
      drop_path_(drop_path) {}

Variable SwinBlock::operator()(const Variable& x, const nn::AttentionInput& input,
                               const nn::Context& context, int64_t block,
                               Checkpointing checkpointing) const {
  const auto residual = [this, context, batch = input.batch](const Variable& base, int64_t place) {
    Dropout images = context.dropout(drop_path_, RngPurpose::dropout, place);
    images.group = base.value().numel() / batch;
    return nn::Residual{base, images};
  };
  const auto attend = [this, residual, input, context, block](const Variable& in) {
    return attention_(residual(in, 2 * block), attention_norm_, input, context, block);
  };
  const auto forward = [this, residual, context, block](const Variable& attended) {
    return ffn_(residual(attended, 2 * block + 1), ffn_norm_, context, block);
  };
  if (!grad_enabled() || checkpointing == Checkpointing::none) return forward(attend(x));
  if (checkpointing == Checkpointing::attention) return forward(recompute(attend, x));
  return recompute([=](const Variable& in) { return forward(attend(in)); }, x);
}

Swin::Swin(const SwinShape& shape, ParameterStore& store)
    : shape_(shape), precision_(store.dtype()) {
  const std::vector<SwinStageShape> stages = swin_stages(shape);
  const int64_t blocks = stages.back().first_block + stages.back().depth;
  const int64_t pixels = kChannels * shape.patch * shape.patch;
  // The published code keeps the default of PyTorch's convolutions here.
  const Init convolution = Init::uniform(1.0 / std::sqrt(static_cast<double>(pixels)));
  patch_embedding_.emplace(store, "patch_embedding", pixels, shape.embed_width, convolution,
                           convolution);
  patch_norm_.emplace(store, "patch_norm", shape.embed_width);
  for (size_t s = 0; s < stages.size(); ++s) {
    Stage& stage = stages_.emplace_back(Stage{stages[s], {}, {}});
    if (s > 0) {
      stage.merging.emplace(store, stage_name(s), stages[s - 1].side, stages[s - 1].width);
    }
    for (int64_t i = 0; i < stage.shape.depth; ++i) {
      const int64_t block = stage.shape.first_block + i;
      const double along =
          blocks > 1 ? static_cast<double>(block) / static_cast<double>(blocks - 1) : 0.0;
      stage.blocks.emplace_back(store, fmt::format("{}.blocks.{}", stage_name(s), i), stage.shape,
                                shape.ffn_ratio, shape.drop_path * along);
    }
  }
  final_norm_.emplace(store, "final_norm", stages.back().width);
  head_.emplace(store, "head", stages.back().width, shape.classes, kInit);
}

Variable Swin::patch_rows(const Tensor& images) const {
  const bool bytes = images.dtype() == DType::u8;
  const std::vector<double> zeros(kChannels, 0.0), ones(kChannels, 1.0);
  PatchArgs args{.in = images,
                 .side = shape_.patch,
                 .mean = bytes ? kMean : zeros,
                 .deviation = bytes ? kDeviation : ones,
                 .out = {}};
  return ops::patches(args, precision_);
}

Variable Swin::logits(const ModelInput& input, const nn::Context& context) const {
  Variable x = (*patch_norm_)((*patch_embedding_)(patch_rows(input.field("images"))));
  for (const Stage& stage : stages_) {
    if (stage.merging) x = (*stage.merging)(x, input.examples);
    nn::AttentionInput attention;
    attention.batch = input.examples;
    attention.length = stage.shape.side * stage.shape.side;
    attention.grid_columns = stage.shape.side;
    for (size_t i = 0; i < stage.blocks.size(); ++i) {
      const int64_t block = stage.shape.first_block + static_cast<int64_t>(i);
      const TraceRange range("block", block);
      SSA_CHECK(block < static_cast<int64_t>(input.plans.size()),
                "swin: {} plans; block {} has none", input.plans.size(), block);
      attention.plan = input.plans[static_cast<size_t>(block)];
      x = stage.blocks[i](x, attention, context, block, checkpointing_);
    }
  }
  return ops::wide_linear(ops::mean_positions((*final_norm_)(x), input.examples), head_->map());
}

Variable Swin::losses(const ModelInput& input, const nn::Context& context) const {
  const double smoothing = context.training ? shape_.label_smoothing : 0.0;
  return ops::soft_cross_entropy(logits(input, context),
                                 {input.field("labels"), input.field("weights"), smoothing});
}

Tensor Swin::predictions(const ModelInput& input) const {
  const NoGrad guard;
  Tensor scores = logits(input, nn::Context{}).value();
  ops::log_softmax(scores);
  return scores.view({scores.numel()});
}

}  // namespace ssa
