// EGT-Simple of shamim-hussain/egt_pytorch (docs/reference/weights.md).

#include <array>

#include "convert/names.h"

namespace ssa {

namespace {

const Renames kNames = {{"embedding.atom.", "nodef_embed."},
                        {"embedding.svd.", "svd_embed."},
                        {"embedding.distance.", "dist_embed."},
                        {"embedding.bond.", "featm_embed."},
                        {"virtual_nodes.node.weight", "vn_layer.vn_node_embeddings"},
                        {"virtual_nodes.edge.weight", "vn_layer.vn_edge_embeddings"},
                        {"final_norm.", "final_ln_h."},
                        {"head.", "mlp_layers."},
                        {"blocks.", "EGT_layers."},
                        {".attention_norm.", ".mha_ln_h."},
                        {".edge_norm.", ".mha_ln_e."},
                        {".attention.pair_bias.", ".lin_E."},
                        {".attention.pair_gate.", ".lin_G."},
                        {".attention.output.", ".lin_O_h."},
                        {".ffn_norm.", ".ffn_ln_h."},
                        {".ffn.up.", ".lin_W_h_1."},
                        {".ffn.down.", ".lin_W_h_2."}};

constexpr auto kParts =
    std::to_array<std::string_view>({".attention.query.", ".attention.key.", ".attention.value."});

/// Where the channels of the attention are: here a head's channels lie together; there the head is
/// the fast index.
std::vector<int64_t> channels(int64_t first, int64_t width, int64_t heads) {
  std::vector<int64_t> order;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t t = 0; t < width / heads; ++t) order.push_back(first + t * heads + head);
  }
  return order;
}

std::vector<Placement> places(const std::string& name, const Shape& shape, const Config& config) {
  const int64_t heads = config.model.heads;
  for (size_t part = 0; part < kParts.size(); ++part) {
    const std::string theirs = renamed(name, {{kParts[part], ".lin_QKV."}});
    if (theirs == name) continue;
    std::vector<int64_t> dims = shape.dims();
    dims[0] *= std::ssize(kParts);
    return {{renamed(theirs, kNames), Shape(dims),
             channels(static_cast<int64_t>(part) * shape[0], shape[0], heads)}};
  }
  Placement place{renamed(name, kNames), shape};
  if (name.ends_with(".attention.output.weight")) place.columns = channels(0, shape[1], heads);
  return {place};
}

}  // namespace

Layout egt_pytorch_layout() {
  return {.name = "egt_pytorch",
          .about = "EGT-Simple of shamim-hussain/egt_pytorch, whose heads are in another order",
          .tasks = kGraphRegression,
          .places = places,
          .todays_name = {},
          .constants = {}};
}

}  // namespace ssa
