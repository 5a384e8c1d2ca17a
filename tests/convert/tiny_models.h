#pragma once

#include <string>
#include <vector>

#include "ssa/storage/safetensors.h"

#include "storage/checkpoint_fixture.h"

// Tiny models of each layout: a config, and the tensors of a file of the other program.

namespace ssa::testing {

struct FileTensor {
  std::string name;
  Shape shape;
  std::string same_as = {};  ///< holds the numbers of this tensor: tied weights
};

struct TinyModel {
  std::string layout;
  std::string yaml;
  std::vector<FileTensor> tensors;
  std::vector<std::string> constants = {};  ///< that export adds
};

inline void add_map(std::vector<FileTensor>& to, const std::string& name, int64_t out, int64_t in) {
  to.push_back({name + ".weight", {out, in}});
  to.push_back({name + ".bias", {out}});
}
inline void add_norm(std::vector<FileTensor>& to, const std::string& name, int64_t width) {
  to.push_back({name + ".weight", {width}});
  to.push_back({name + ".bias", {width}});
}

/// Two stages of widths 8 and 16 on maps of 8 and 4 cells, windows of 4, three classes.
inline TinyModel tiny_swin() {
  TinyModel model{
      .layout = "timm_swin",
      .yaml =
          "task: image_classification\n"
          "model: {swin: {embed_width: 8, depths: [1, 2], heads: [1, 2], window: 4,"
          " patch: 2}}\n"
          "data: {path: nowhere, image_size: 16, resize: 16, classes: 3}\n",
      .tensors = {{"patch_embed.proj.weight", {8, 3, 2, 2}}, {"patch_embed.proj.bias", {8}}}};
  add_norm(model.tensors, "patch_embed.norm", 8);
  const auto add_block = [&](const std::string& name, int64_t width, int64_t heads) {
    add_norm(model.tensors, name + ".norm1", width);
    model.tensors.push_back({name + ".attn.relative_position_bias_table", {49, heads}});
    add_map(model.tensors, name + ".attn.qkv", 3 * width, width);
    add_map(model.tensors, name + ".attn.proj", width, width);
    add_norm(model.tensors, name + ".norm2", width);
    add_map(model.tensors, name + ".mlp.fc1", 4 * width, width);
    add_map(model.tensors, name + ".mlp.fc2", width, 4 * width);
  };
  add_block("layers.0.blocks.0", 8, 1);
  add_norm(model.tensors, "layers.1.downsample.norm", 32);
  model.tensors.push_back({"layers.1.downsample.reduction.weight", {16, 32}});
  add_block("layers.1.blocks.0", 16, 2);
  add_block("layers.1.blocks.1", 16, 2);
  add_norm(model.tensors, "norm", 16);
  add_map(model.tensors, "head.fc", 3, 16);
  return model;
}

/// One layer of width 8 with two heads, two virtual nodes.
inline TinyModel tiny_egt() {
  TinyModel model{.layout = "egt_pytorch",
                  .yaml =
                      "task: graph_regression\n"
                      "model: {layers: 1, width: 8, ffn_width: 8, heads: 2, activation: elu,\n"
                      "  egt: {edge_width: 4, virtual_nodes: 2, hops: 3, svd_rank: 2}}\n"
                      "data: {path: nowhere}\n",
                  .tensors = {{"nodef_embed.weight", {1153, 8}},
                              {"dist_embed.weight", {5, 4}},
                              {"featm_embed.weight", {25, 4}},
                              {"vn_layer.vn_node_embeddings", {2, 8}},
                              {"vn_layer.vn_edge_embeddings", {2, 4}}}};
  add_map(model.tensors, "svd_embed", 8, 4);
  const std::string layer = "EGT_layers.0.";
  add_norm(model.tensors, layer + "mha_ln_h", 8);
  add_norm(model.tensors, layer + "mha_ln_e", 4);
  add_map(model.tensors, layer + "lin_QKV", 24, 8);
  add_map(model.tensors, layer + "lin_E", 2, 4);
  add_map(model.tensors, layer + "lin_G", 2, 4);
  add_map(model.tensors, layer + "lin_O_h", 8, 8);
  add_norm(model.tensors, layer + "ffn_ln_h", 8);
  add_map(model.tensors, layer + "lin_W_h_1", 8, 8);
  add_map(model.tensors, layer + "lin_W_h_2", 8, 8);
  add_norm(model.tensors, "final_ln_h", 8);
  add_map(model.tensors, "mlp_layers.0", 8, 16);
  add_map(model.tensors, "mlp_layers.1", 8, 8);
  add_map(model.tensors, "mlp_layers.2", 1, 8);
  return model;
}

/// One layer of width 8, 20 words. `embedding` are the keys of model.embedding.
inline TinyModel tiny_fairseq(const std::string& embedding, std::vector<FileTensor> words,
                              std::vector<std::string> constants) {
  constants.emplace_back("decoder.version");
  TinyModel model{.layout = "fairseq_lm",
                  .yaml =
                      "task: word_lm\n"
                      "model: {layers: 1, width: 8, ffn_width: 16, heads: 2, embedding: {" +
                      embedding +
                      "}}\n"
                      "data: {path: nowhere, vocabulary: 20, length: 8}\n",
                  .tensors = std::move(words),
                  .constants = std::move(constants)};
  const std::string layer = "decoder.layers.0.";
  for (const char* map : {"k_proj", "v_proj", "q_proj", "out_proj"}) {
    add_map(model.tensors, layer + "self_attn." + map, 8, 8);
  }
  add_norm(model.tensors, layer + "self_attn_layer_norm", 8);
  add_map(model.tensors, layer + "fc1", 16, 8);
  add_map(model.tensors, layer + "fc2", 8, 16);
  add_norm(model.tensors, layer + "final_layer_norm", 8);
  add_norm(model.tensors, "decoder.layer_norm", 8);
  return model;
}

inline TinyModel tiny_fairseq_plain() {
  return tiny_fairseq(
      "kind: plain",
      {{"decoder.embed_tokens.weight", {20, 8}},
       {"decoder.output_projection.weight", {20, 8}, "decoder.embed_tokens.weight"}},
      {});
}

/// Bands of 6, 6 and 8 words, of widths 8, 4 and 2.
inline std::vector<FileTensor> adaptive_input() {
  return {{"decoder.embed_tokens.embeddings.0.0.weight", {6, 8}},
          {"decoder.embed_tokens.embeddings.0.1.weight", {8, 8}},
          {"decoder.embed_tokens.embeddings.1.0.weight", {6, 4}},
          {"decoder.embed_tokens.embeddings.1.1.weight", {8, 4}},
          {"decoder.embed_tokens.embeddings.2.0.weight", {8, 2}},
          {"decoder.embed_tokens.embeddings.2.1.weight", {8, 2}}};
}

inline TinyModel tiny_fairseq_adaptive() {
  std::vector<FileTensor> words = adaptive_input();
  const std::string softmax = "decoder.adaptive_softmax.";
  const std::string input = "decoder.embed_tokens.embeddings.";
  words.push_back({softmax + "head.word_proj.weight", {6, 8}, input + "0.0.weight"});
  words.push_back({softmax + "head.class_proj.weight", {2, 8}});
  words.push_back({softmax + "tail.0.0.weight", {8, 4}, input + "1.1.weight"});
  words.push_back({softmax + "tail.0.2.weight", {6, 4}, input + "1.0.weight"});
  words.push_back({softmax + "tail.1.0.weight", {8, 2}, input + "2.1.weight"});
  words.push_back({softmax + "tail.1.2.weight", {8, 2}, input + "2.0.weight"});
  return tiny_fairseq("kind: adaptive, cutoffs: [6, 12], factor: 2", std::move(words),
                      {"decoder.adaptive_softmax.version", "decoder.embed_tokens._float_tensor",
                       "decoder.adaptive_softmax.head._float_tensor"});
}

inline TinyModel tiny_fairseq_untied() {
  std::vector<FileTensor> words = adaptive_input();
  const std::string softmax = "decoder.adaptive_softmax.";
  words.push_back({softmax + "head.weight", {8, 8}});
  words.push_back({softmax + "tail.0.0.weight", {4, 8}});
  words.push_back({softmax + "tail.0.2.weight", {6, 4}});
  words.push_back({softmax + "tail.1.0.weight", {2, 8}});
  words.push_back({softmax + "tail.1.2.weight", {8, 2}});
  return tiny_fairseq(
      "kind: adaptive, cutoffs: [6, 12], factor: 2, tie_weights: false, tie_projections: false",
      std::move(words), {"decoder.adaptive_softmax.version", "decoder.embed_tokens._float_tensor"});
}

/// Every number of a file is another one: element i of tensor t is 10000·t + i.
inline std::vector<NamedTensor> file_of(const std::vector<FileTensor>& tensors) {
  std::vector<NamedTensor> file;
  for (const FileTensor& tensor : tensors) {
    const auto original = std::find_if(tensors.begin(), tensors.end(), [&](const FileTensor& one) {
      return one.name == (tensor.same_as.empty() ? tensor.name : tensor.same_as);
    });
    std::vector<float> values;
    for (int64_t i = 0; i < tensor.shape.numel(); ++i) {
      values.push_back(static_cast<float>(10000 * (original - tensors.begin()) + i));
    }
    file.push_back({tensor.name, Tensor::from(values, tensor.shape, Device::cpu)});
  }
  return file;
}

}  // namespace ssa::testing
