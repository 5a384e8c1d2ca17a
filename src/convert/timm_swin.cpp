// Swin transformers of timm and of Microsoft's code (docs/reference/weights.md).

#include <array>

#include "convert/names.h"

namespace ssa {

namespace {

const Renames kNames = {{"patch_embedding.", "patch_embed.proj."},
                        {"patch_norm.", "patch_embed.norm."},
                        {"stages.", "layers."},
                        {".merge_norm.", ".downsample.norm."},
                        {".merge.", ".downsample.reduction."},
                        {".attention_norm.", ".norm1."},
                        {".ffn_norm.", ".norm2."},
                        {".attention.output.", ".attn.proj."},
                        {".attention.relative_bias", ".attn.relative_position_bias_table"},
                        {".ffn.up.", ".mlp.fc1."},
                        {".ffn.down.", ".mlp.fc2."},
                        {"final_norm.", "norm."},
                        {"head.", "head.fc."}};

constexpr auto kParts =
    std::to_array<std::string_view>({".attention.query.", ".attention.key.", ".attention.value."});

/// Query, key and value lie one behind the other in one tensor.
std::vector<Placement> places(const std::string& name, const Shape& shape, const Config& config) {
  for (size_t part = 0; part < kParts.size(); ++part) {
    const std::string theirs = renamed(name, {{kParts[part], ".attn.qkv."}});
    if (theirs == name) continue;
    std::vector<int64_t> dims = shape.dims();
    dims[0] *= std::ssize(kParts);
    return {{renamed(theirs, kNames), Shape(dims),
             rows_from(static_cast<int64_t>(part) * shape[0], shape[0])}};
  }
  if (name == "patch_embedding.weight") {  // a convolution there
    const int64_t patch = config.model.swin.patch;
    return {{renamed(name, kNames), {shape[0], shape[1] / (patch * patch), patch, patch}}};
  }
  return {{renamed(name, kNames), shape}};
}

/// Microsoft's code and timm before 0.9 merge patches at the end of the stage before, and have the
/// linear map of the head directly in `head`.
std::string todays_name(const std::string& name, const std::set<std::string>& all) {
  if (name == "head.weight" || name == "head.bias") return renamed(name, {{"head.", "head.fc."}});
  const bool merges_at_end = all.contains("layers.0.downsample.reduction.weight");
  if (!merges_at_end || name.find(".downsample.") == std::string::npos) return name;
  const int64_t stage = number_after(name, "layers.");
  return fmt::format("layers.{}{}", stage + 1, name.substr(name.find(".downsample.")));
}

}  // namespace

Layout timm_swin_layout() {
  return {.name = "timm_swin",
          .about = "Swin transformers of timm; import also reads Microsoft's names",
          .tasks = kImageClassification,
          .places = places,
          .todays_name = todays_name,
          .constants = {},
          .not_weights = {"*.relative_position_index", "*.attn_mask"},
          .position_tables = "*.attention.relative_bias"};
}

}  // namespace ssa
