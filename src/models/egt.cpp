#include "ssa/models/egt.h"

#include <cmath>
#include <limits>

#include "ssa/core/trace_range.h"

namespace ssa {

namespace {

/// PyTorch's initial values of a linear map, which the published code keeps.
nn::Linear torch_linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out) {
  const Init init = Init::uniform(1.0 / std::sqrt(static_cast<double>(in)));
  return nn::Linear(store, name, in, out, init, init);
}

/// An embedding whose row 0 stands for nothing. The row is zero, and stays so: nothing reads it.
Variable padded_embedding(ParameterStore& store, const std::string& name, const Shape& shape) {
  const Variable table = store.add(name, shape, Init::normal(1.0));
  if (table.defined()) {
    Tensor nothing = table.value().slice(0, 0, 1);
    backend(store.device()).fill(nothing, 0.0);
  }
  return table;
}

/// A table (C, H) with one more row, for pairs whose target does not see its source: both the
/// softmax and a sigmoid of that are exactly 0.
Variable with_hidden_row(const Variable& table) {
  constexpr double kHidden = -1e9;
  Tensor row = Tensor::empty({1, table.dim(1)}, table.value().dtype(), table.value().device());
  backend(row.device()).fill(row, kHidden);
  return ops::concat_rows({table, Variable(row)});
}

/// The same numbers in another floating dtype.
Tensor as_dtype(const Tensor& values, DType dtype) {
  if (values.dtype() == dtype) return values;
  Tensor converted = Tensor::empty(values.shape(), dtype, values.device());
  backend(values.device()).copy(values, converted);
  return converted;
}

/// (C, rows): `share(c)` times how often class c lists each row.
template <class List>
Tensor row_counts(const EgtShape& shape, int64_t rows, const List& list, const ParameterStore& of) {
  const auto classes = static_cast<int64_t>(shape.pair_classes.size());
  std::vector<double> counts(static_cast<size_t>(classes * rows), 0.0);
  for (int64_t c = 0; c < classes; ++c) {
    const auto [listed, share] = list(shape.pair_classes[static_cast<size_t>(c)]);
    for (const int64_t row : listed) {
      SSA_CHECK(row >= 0 && row < rows, "egt: pair class {} has row {} of an embedding of {}", c,
                row, rows);
      counts[static_cast<size_t>(c * rows + row)] += share;
    }
  }
  if (of.dtype() == DType::f64) {
    return Tensor::from(counts, {classes, rows}, of.device(), MemoryCategory::data);
  }
  return Tensor::from(std::vector<float>(counts.begin(), counts.end()), {classes, rows},
                      of.device(), MemoryCategory::data);
}

using Listed = std::pair<std::vector<int64_t>, double>;

}  // namespace

EgtPairFeatures::EgtPairFeatures(ParameterStore& store, const EgtShape& shape)
    : distance_counts_(row_counts(
          shape, shape.distance_rows,
          [](const EgtPairClass& pair) { return Listed(pair.distances, 1.0); }, store)),
      bond_counts_(row_counts(
          shape, shape.bond_rows, [](const EgtPairClass& pair) { return Listed(pair.bonds, 1.0); },
          store)),
      virtual_counts_(row_counts(
          shape, shape.virtual_nodes,
          [](const EgtPairClass& pair) {
            const auto nodes = static_cast<double>(pair.virtual_nodes.size());
            return Listed(pair.virtual_nodes, 1.0 / nodes);
          },
          store)) {
  const int64_t width = shape.edge_width;
  distance_ = ops::PackedWeights(
      {store.add("embedding.distance.weight", {shape.distance_rows, width}, Init::normal(1.0))});
  bond_ = ops::PackedWeights(
      {padded_embedding(store, "embedding.bond.weight", {shape.bond_rows, width})});
  virtual_node_ = ops::PackedWeights(
      {store.add("virtual_nodes.edge.weight", {shape.virtual_nodes, width}, Init::normal(1.0))});
}

Variable EgtPairFeatures::operator()() const {
  const Variable atoms = ops::add(ops::transposed_linear(Variable(distance_counts_), distance_),
                                  ops::transposed_linear(Variable(bond_counts_), bond_));
  return ops::add(atoms, ops::transposed_linear(Variable(virtual_counts_), virtual_node_));
}

EgtAttention::EgtAttention(ParameterStore& store, const std::string& name, const EgtShape& shape)
    : query_(torch_linear(store, name + ".query", shape.width, shape.width)),
      key_(torch_linear(store, name + ".key", shape.width, shape.width)),
      value_(torch_linear(store, name + ".value", shape.width, shape.width)),
      pair_bias_(torch_linear(store, name + ".pair_bias", shape.edge_width, shape.heads)),
      pair_gate_(torch_linear(store, name + ".pair_gate", shape.edge_width, shape.heads)),
      output_(torch_linear(store, name + ".output", shape.width, shape.width)),
      heads_(shape.heads),
      unscaled_nodes_(shape.degree_scaling ? shape.virtual_nodes
                                           : std::numeric_limits<int32_t>::max()),
      logit_clip_(shape.logit_clip) {}

Variable EgtAttention::operator()(const nn::Residual& residual, const nn::LayerNorm& norm,
                                  const Variable& pairs, const EgtLayerInput& input,
                                  const Dropout& dropout) const {
  const Variable x = norm(residual.x);
  const Variable sources =
      input.source_rows.defined() ? ops::gather_rows(x, 1, input.source_rows) : x;
  const auto heads = [this](const Variable& rows) {
    return ops::reshape(rows, {rows.dim(0), heads_, rows.dim(1) / heads_});
  };
  Variable bias = pair_bias_(pairs), gate = pair_gate_(pairs);
  if (input.hides_pairs) {
    bias = with_hidden_row(bias);
    gate = with_hidden_row(gate);
  }
  const Variable mixed =
      ops::graph_attention(heads(query_(x)), heads(key_(sources)), heads(value_(sources)),
                           {input.graphs, bias, gate, unscaled_nodes_, logit_clip_, dropout});
  const auto wanted = [&](const Variable& rows) {
    return input.wanted_rows.defined() ? ops::gather_rows(rows, 1, input.wanted_rows) : rows;
  };
  const nn::Residual of_wanted{wanted(residual.x), residual.dropout};
  return of_wanted([&](const Variable& base) {
    return ops::linear(wanted(ops::reshape(mixed, x.shape())), output_.map(), base);
  });
}

EgtBlock::EgtBlock(ParameterStore& store, const std::string& name, const EgtShape& shape)
    : attention_norm_(store, name + ".attention_norm", shape.width),
      edge_norm_(store, name + ".edge_norm", shape.edge_width),
      attention_(store, name + ".attention", shape),
      ffn_norm_(store, name + ".ffn_norm", shape.width),
      up_(torch_linear(store, name + ".ffn.up", shape.width, shape.ffn_width)),
      down_(torch_linear(store, name + ".ffn.down", shape.ffn_width, shape.width)),
      ffn_(up_, down_, shape.activation, shape.activation_dropout),
      dropout_(shape.dropout),
      attention_dropout_(shape.attention_dropout) {}

Variable EgtBlock::operator()(const Variable& x, const std::function<Variable()>& features,
                              const EgtLayerInput& input, const nn::Context& context, int64_t layer,
                              Checkpointing checkpointing) const {
  // Places 1 + 2·layer and 2 + 2·layer; the embedding's is 0.
  const auto residual = [this, context](const Variable& base, int64_t place) {
    return nn::Residual{base, context.dropout(dropout_, RngPurpose::dropout, place)};
  };
  const Dropout weights = context.dropout(attention_dropout_, RngPurpose::attention_dropout, layer);
  const auto attend = [this, residual, features, input, weights, layer](const Variable& in) {
    return attention_(residual(in, 1 + 2 * layer), attention_norm_, edge_norm_(features()), input,
                      weights);
  };
  const auto forward = [this, residual, context, layer](const Variable& attended) {
    return ffn_(residual(attended, 2 + 2 * layer), ffn_norm_, context, layer);
  };
  if (!grad_enabled() || checkpointing == Checkpointing::none) return forward(attend(x));
  if (checkpointing == Checkpointing::attention) return forward(recompute(attend, x));
  return recompute([=](const Variable& in) { return forward(attend(in)); }, x);
}

Egt::Egt(const EgtShape& shape, ParameterStore& store) : shape_(shape), precision_(store.dtype()) {
  atom_ = padded_embedding(store, "embedding.atom.weight", {shape.atom_rows, shape.width});
  svd_ = torch_linear(store, "embedding.svd", shape.encoding, shape.width);
  pair_features_.emplace(store, shape);
  virtual_node_ =
      store.add("virtual_nodes.node.weight", {shape.virtual_nodes, shape.width}, Init::normal(1.0));
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    blocks_.emplace_back(store, fmt::format("blocks.{}", layer), shape);
  }
  final_norm_.emplace(store, "final_norm", shape.width);
  head_.push_back(torch_linear(store, "head.0", shape.virtual_nodes * shape.width, shape.width));
  head_.push_back(torch_linear(store, "head.1", shape.width, shape.width));
  head_.push_back(torch_linear(store, "head.2", shape.width, 1));
}

/// (R, width): an atom's row is the sum of its features' embeddings and the map of its encoding.
Variable Egt::embedded(const ModelInput& input) const {
  const Tensor &features = input.field("atoms"), &virtual_ids = input.field("virtual_ids");
  const int64_t atoms = features.dim(0), count = features.dim(1);
  // The sum is the mean of the embeddings times their number.
  const Variable each =
      ops::embedding(atom_, features.view({atoms * count}), static_cast<double>(count), precision_);
  const Variable encodings(as_dtype(input.field("encodings"), precision_));
  const Variable of_atoms = ops::linear(encodings, svd_->map(), ops::mean_positions(each, atoms));
  const Variable of_virtual = ops::embedding(virtual_node_, virtual_ids, 1.0, precision_);
  const Variable nothing(Tensor::zeros({input.field("positions").dim(0), shape_.width}, precision_,
                                       features.device()));
  return ops::scatter_rows(
      nothing, {{of_virtual, input.field("virtual_rows")}, {of_atoms, input.field("atom_rows")}});
}

namespace {

/// The tensor of a field; undefined if there is none of this name.
Tensor optional_field(const ModelInput& input, const std::string& name) {
  for (const auto& [own, tensor] : input.fields) {
    if (own == name) return tensor;
  }
  return {};
}

EgtLayerInput input_of_layer(const ModelInput& input, int64_t layer) {
  const auto of_layer = [&](std::string_view name) {
    return optional_field(input, fmt::format("{}.{}", name, layer));
  };
  const Tensor &nodes = input.field("nodes"), &pairs = input.field("pairs");
  const Tensor &positions = input.field("positions"), &classes = input.field("classes");
  EgtLayerInput layer_input;
  layer_input.graphs = {nodes, nodes, positions, pairs, classes};
  if (const Tensor sampled = of_layer("sampled"); sampled.defined()) {
    layer_input.graphs = {nodes, sampled, of_layer("sources"), pairs, classes};
    layer_input.source_rows = of_layer("source_rows");
  } else if (const Tensor visible = of_layer("classes"); visible.defined()) {
    layer_input.graphs = {nodes, nodes, positions, pairs, visible};
    layer_input.hides_pairs = true;
  }
  return layer_input;
}

}  // namespace

/// The final norm of the virtual nodes side by side, and three maps. In wide(data) after the first.
Variable Egt::head(const Variable& virtual_nodes, int64_t graphs) const {
  const Variable joined =
      ops::reshape((*final_norm_)(virtual_nodes), {graphs, shape_.virtual_nodes * shape_.width});
  const Variable first = ops::wide_linear(joined, head_[0].map());
  const Variable second =
      ops::activation_linear(ops::Activated(shape_.activation), first, {}, head_[1].map());
  const Variable third =
      ops::activation_linear(ops::Activated(shape_.activation), second, {}, head_[2].map());
  return ops::reshape(third, {graphs});
}

Variable Egt::outputs(const ModelInput& input, const nn::Context& context) const {
  Variable x =
      ops::dropout(embedded(input), context.dropout(shape_.dropout, RngPurpose::dropout, 0));
  // A layer that recomputes its activations needs a tape of its own, back to the embeddings.
  const bool shared = !grad_enabled() || checkpointing_ == Checkpointing::none;
  std::function<Variable()> features = [this] { return (*pair_features_)(); };
  if (shared) features = [once = features()] { return once; };
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    const TraceRange range("layer", layer);
    EgtLayerInput own = input_of_layer(input, layer);
    // The head reads virtual nodes only: nothing is computed of atoms that no layer looks at.
    if (layer == shape_.layers - 1) own.wanted_rows = input.field("virtual_rows");
    x = blocks_[static_cast<size_t>(layer)](x, features, own, context, layer, checkpointing_);
  }
  return head(x, input.examples);
}

Variable Egt::losses(const ModelInput& input, const nn::Context& context) const {
  const Variable predicted = outputs(input, context);
  return ops::absolute_error(predicted, as_dtype(input.field("target"), predicted.value().dtype()));
}

Tensor Egt::predictions(const ModelInput& input) const {
  const NoGrad guard;
  return outputs(input, nn::Context{}).value();
}

}  // namespace ssa
