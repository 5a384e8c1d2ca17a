#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/model.h"

namespace ssa {

/// A class of pairs of nodes. Its features are the sum of these rows of the embeddings of
/// distances and bonds; for a pair with virtual nodes, the mean of two of their rows.
struct EgtPairClass {
  std::vector<int64_t> distances, bonds;
  std::vector<int64_t> virtual_nodes;
};

/// Sizes of an EGT-Simple; those of the published model for PCQM4Mv2 unless said otherwise.
struct EgtShape {
  int64_t layers = 6;
  int64_t width = 512;
  int64_t ffn_width = 512;
  int64_t heads = 32;
  int64_t edge_width = 64;
  int64_t virtual_nodes = 4;
  int64_t atom_features = 9;
  int64_t atom_rows = 1153;  ///< of the embedding of atoms: 0 for nothing, 128 of each feature
  int64_t distance_rows = 18;
  int64_t bond_rows = 25;                  ///< 0 for nothing, 8 of each feature
  int64_t encoding = 16;                   ///< numbers that encode an atom's place in its graph
  std::vector<EgtPairClass> pair_classes;  ///< 1 to 256
  double logit_clip = 5.0;                 ///< 0: no clipping
  bool degree_scaling = true;
  Activation activation = Activation::elu;
  double dropout = 0;
  double attention_dropout = 0;
  double activation_dropout = 0;
};

/// The graphs of a batch as one layer sees them.
struct EgtLayerInput {
  ops::PackedGraphs graphs;
  Tensor source_rows;  ///< (K) i32, the row of each source; undefined if all nodes are sources
  bool hides_pairs = false;  ///< class number C: a pair whose target does not see its source
  Tensor wanted_rows;        ///< (W) i32, the rows that are read afterwards; undefined: all
};

/// The features of each class of pairs, from embeddings of distances, bonds and virtual nodes.
/// Layers make their pair terms from these few rows: the features of all pairs are never stored.
class EgtPairFeatures {
 public:
  EgtPairFeatures(ParameterStore& store, const EgtShape& shape);
  /// (C, edge_width) wide(data)
  Variable operator()() const;

 private:
  // How often a class takes a row of each embedding: (C, rows).
  Tensor distance_counts_, bond_counts_, virtual_counts_;
  ops::PackedWeights distance_, bond_, virtual_node_;
};

/// Attention inside graphs with the terms of a layer's pairs: a bias on the logits and a gate on
/// the weights, with a norm in front and a residual around. Parameters
/// `NAME.query|key|value|pair_bias|pair_gate|output.*`.
class EgtAttention {
 public:
  EgtAttention(ParameterStore& store, const std::string& name, const EgtShape& shape);
  /// x (R, width) → the rows that are wanted. `pairs` (C, edge_width) are normed features of the
  /// classes.
  Variable operator()(const nn::Residual& residual, const nn::LayerNorm& norm,
                      const Variable& pairs, const EgtLayerInput& input,
                      const Dropout& dropout) const;

 private:
  nn::Linear query_, key_, value_, pair_bias_, pair_gate_, output_;
  int64_t heads_;
  int64_t unscaled_nodes_;  // the first of each graph, whose degrees are taken as 1
  double logit_clip_;
};

/// One pre-norm block: attention, then the feed-forward part.
class EgtBlock {
 public:
  EgtBlock(ParameterStore& store, const std::string& name, const EgtShape& shape);
  /// x (R, width) → the rows that are wanted. `features` gives those of the pair classes; a layer
  /// that recomputes its activations calls it again.
  Variable operator()(const Variable& x, const std::function<Variable()>& features,
                      const EgtLayerInput& input, const nn::Context& context, int64_t layer,
                      Checkpointing checkpointing) const;

 private:
  nn::LayerNorm attention_norm_, edge_norm_;
  EgtAttention attention_;
  nn::LayerNorm ffn_norm_;
  nn::Linear up_, down_;
  nn::FeedForward ffn_;
  double dropout_, attention_dropout_;
};

/// Edge-augmented Graph Transformer of Hussain et al. (2022, "Global Self-Attention as a
/// Replacement for Graph Convolution") in its simple form, EGT-Simple: pairs of nodes keep their
/// embedding through all layers. It predicts a number for each graph. As published, but attention
/// never leaves a graph: graphs are stored one behind the other without padding. Parameter names
/// and shapes: docs/reference/weights.md.
///
/// A batch of B graphs has A atoms, V virtual nodes a graph in front of its atoms, and R = A + B·V
/// rows. Fields, i32 unless said otherwise:
///
///     atoms         (A, 9)   rows of the embedding of atoms, one of each feature
///     encodings     (A, E)   f32 or wide(data)
///     atom_rows     (A)      the row of each atom
///     virtual_rows  (B·V)    the row of each virtual node
///     virtual_ids   (B·V)    0 … V-1 for each graph
///     nodes, pairs  (B+1)    where each graph's rows begin, and its classes of pairs
///     positions     (R)      the number of each row inside its graph
///     classes       (Σ n²)   u8, the class of each pair of a graph's nodes
///     target        (B)      f32 or wide(data)
///
/// All nodes are sources, unless there are `sampled.L` (B+1), where the sources of each graph
/// begin in layer L, `sources.L` (K), their numbers inside their graph, and `source_rows.L` (K),
/// their rows. Or `classes.L` replace the classes in layer L. Class number C there stands for a
/// pair whose target does not see its source.
class Egt : public Model {
 public:
  Egt(const EgtShape& shape, ParameterStore& store);

  /// |prediction - target| of each graph, (B) wide(data).
  Variable losses(const ModelInput& input, const nn::Context& context) const override;
  /// (B) wide(data)
  Tensor predictions(const ModelInput& input) const override;
  /// (B) wide(data)
  Variable outputs(const ModelInput& input, const nn::Context& context) const;

  void set_activation_checkpointing(Checkpointing what) { checkpointing_ = what; }
  /// Dtype of activations and matrix products; that of the parameters at first.
  void set_precision(DType dtype) { precision_ = dtype; }

 private:
  Variable embedded(const ModelInput& input) const;
  /// virtual_nodes (B·V, width) → (B)
  Variable head(const Variable& virtual_nodes, int64_t graphs) const;

  EgtShape shape_;
  DType precision_;
  Checkpointing checkpointing_ = Checkpointing::none;
  Variable atom_;  // (atom_rows, width)
  std::optional<nn::Linear> svd_;
  std::optional<EgtPairFeatures> pair_features_;
  Variable virtual_node_;  // (virtual_nodes, width)
  std::vector<EgtBlock> blocks_;
  std::optional<nn::LayerNorm> final_norm_;
  std::vector<nn::Linear> head_;
};

}  // namespace ssa
