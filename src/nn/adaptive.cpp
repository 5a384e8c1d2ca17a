#include "ssa/nn/adaptive.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ssa::nn {

std::vector<Band> vocabulary_bands(int64_t vocabulary, const std::vector<int64_t>& cutoffs,
                                   int64_t width, int64_t factor) {
  std::vector<Band> bands = {{0, vocabulary, width}};
  for (const int64_t cutoff : cutoffs) {
    Band& before = bands.back();
    const int64_t narrower = before.width / factor;
    if (cutoff <= before.first || cutoff >= vocabulary || narrower == 0) {
      throw ConfigError(
          "model.embedding.cutoffs: {} after {}: cutoffs must ascend, stay below the vocabulary's "
          "{} tokens, and leave their band a width (model.width divided by "
          "model.embedding.factor for each cutoff). A small vocabulary needs none: "
          "model.embedding.kind: plain, model.embedding.cutoffs: []",
          cutoff, before.first, vocabulary);
    }
    before.size = cutoff - before.first;
    bands.push_back({cutoff, vocabulary - cutoff, narrower});
  }
  return bands;
}

namespace {

/// The tokens of a batch that are in one band.
struct BandRows {
  Tensor rows;    ///< (K) i32: their rows, ascending, then other rows as padding
  Tensor places;  ///< (P) i32: the first P rows, which are in the band
  Tensor tokens;  ///< (K) i32: counted from the band's first token; a filler for padding rows
};

/// `tokens` are on the host, the result is on `device`.
BandRows rows_in_band(const Tensor& tokens, const Band& band, int32_t filler, Device device) {
  const int64_t total = tokens.dim(0);
  const auto* token = tokens.data<int32_t>();
  std::vector<int32_t> inside, rows, local;
  const auto is_inside = [&](int64_t r) {
    return token[r] >= band.first && token[r] < band.first + band.size;
  };
  for (int64_t r = 0; r < total; ++r) {
    if (!is_inside(r)) continue;
    inside.push_back(static_cast<int32_t>(r));
    local.push_back(token[r] - static_cast<int32_t>(band.first));
  }
  rows = inside;
  const auto count = static_cast<int64_t>(inside.size());
  const int64_t wanted =
      std::min(total, std::max<int64_t>(1, (count + kRowsUnit - 1) / kRowsUnit) * kRowsUnit);
  for (int64_t r = 0; static_cast<int64_t>(rows.size()) < wanted; ++r) {
    if (!is_inside(r)) rows.push_back(static_cast<int32_t>(r));
  }
  local.resize(rows.size(), filler);
  const auto put = [&](const std::vector<int32_t>& values) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}, device,
                        MemoryCategory::data);
  };
  return {put(rows), put(inside), put(local)};
}

Init embedding_init(const Band& band) {
  return Init::normal(1.0 / std::sqrt(static_cast<double>(band.width)));
}

}  // namespace

AdaptiveInput::AdaptiveInput(ParameterStore& store, const std::string& name,
                             std::vector<Band> bands, int64_t width)
    : bands_(std::move(bands)), width_(width) {
  for (size_t i = 0; i < bands_.size(); ++i) {
    const Band& band = bands_[i];
    const std::string prefix = fmt::format("{}.bands.{}", name, i);
    tables_.push_back(store.add(prefix + ".weight", {band.size, band.width}, embedding_init(band)));
    projections_.push_back(
        ops::PackedWeights({store.add(prefix + ".projection.weight", {width, band.width},
                                      Init::xavier_uniform(band.width, width))}));
  }
}

Variable AdaptiveInput::operator()(const Tensor& tokens, double factor, DType data) const {
  const Tensor ids = tokens.on_host();
  const Device device = tables_.front().value().device();
  const Band& last = bands_.back();
  const auto* id = ids.data<int32_t>();
  for (int64_t r = 0; r < ids.dim(0); ++r) {
    SSA_CHECK(id[r] >= 0 && id[r] < last.first + last.size,
              "embedding: id {} at {} is outside 0 … {}", id[r], r, last.first + last.size - 1);
  }
  std::vector<ops::RowsAt> parts;
  for (size_t i = 0; i < bands_.size(); ++i) {
    const BandRows in = rows_in_band(ids, bands_[i], 0, device);
    const Variable rows = ops::embedding(tables_[i], in.tokens, factor, data);
    parts.push_back({ops::linear(rows, {projections_[i], {}}), in.places});
  }
  return ops::scatter_rows(Variable(Tensor::zeros({ids.dim(0), width_}, data, device)), parts);
}

AdaptiveSoftmax::AdaptiveSoftmax(ParameterStore& store, const std::string& name,
                                 const AdaptiveInput& input, int64_t width,
                                 const AdaptiveSoftmaxOptions& options)
    : words_in_head_(input.bands().front().size), dropout_(options.dropout) {
  const auto tails = static_cast<int64_t>(input.bands().size()) - 1;
  const bool tied = options.tie_weights;
  // fairseq initialises an untied head as one matrix; so do we.
  const Init whole_head = Init::xavier_uniform(width, words_in_head_ + tails);
  std::vector<Variable> head = {
      tied ? input.table(0)
           : store.add(name + ".bands.0.weight", {words_in_head_, width}, whole_head)};
  if (tails > 0) {
    head.push_back(store.add(name + ".classes.weight", {tails, width},
                             tied ? Init::xavier_uniform(width, tails) : whole_head));
  }
  head_ = ops::PackedWeights(std::move(head));
  for (size_t i = 1; i < input.bands().size(); ++i) {
    const Band& band = input.bands()[i];
    const std::string prefix = fmt::format("{}.bands.{}", name, i);
    Tail tail{band, input.projection(i), {}, options.tie_projections};
    tail.table =
        ops::PackedWeights({tied ? input.table(i)
                                 : store.add(prefix + ".weight", {band.size, band.width},
                                             Init::xavier_uniform(band.width, band.size))});
    if (!tail.transposed) {
      tail.projection =
          ops::PackedWeights({store.add(prefix + ".projection.weight", {band.width, width},
                                        Init::xavier_uniform(width, band.width))});
    }
    tails_.push_back(std::move(tail));
  }
}

Variable AdaptiveSoftmax::Tail::project(const Variable& x) const {
  return transposed ? ops::transposed_linear(x, projection) : ops::linear(x, {projection, {}});
}

/// The head's targets: a word of the first band is itself, a word of tail i is the class of tail i.
/// All on the host.
Tensor AdaptiveSoftmax::head_targets(const Tensor& targets) const {
  Tensor result = Tensor::empty_like(targets, MemoryCategory::data);
  const auto* from = targets.data<int32_t>();
  auto* to = result.data<int32_t>();
  const int64_t vocabulary =
      tails_.empty() ? words_in_head_ : tails_.back().band.first + tails_.back().band.size;
  for (int64_t r = 0; r < targets.dim(0); ++r) {
    SSA_CHECK(from[r] >= -1 && from[r] < vocabulary,
              "adaptive softmax: target {} at {} is outside -1 … {}", from[r], r, vocabulary - 1);
    to[r] = from[r];
    for (size_t i = 0; i < tails_.size() && from[r] >= tails_[i].band.first; ++i) {
      to[r] = static_cast<int32_t>(words_in_head_ + static_cast<int64_t>(i));
    }
  }
  return result;
}

Variable AdaptiveSoftmax::losses(const Variable& x, const Tensor& all_targets,
                                 const Context& context, int64_t place) const {
  const Tensor targets = all_targets.on_host();
  const Device device = x.value().device();
  const auto dropout = [&](const Variable& in, int64_t where) {
    return ops::dropout(in, context.dropout(dropout_, RngPurpose::dropout, where));
  };
  const Variable input = dropout(x, place);
  const int64_t rows = x.dim(0);
  const Variable head = ops::linear_cross_entropy(input, head_, head_targets(targets).to(device));
  std::vector<ops::RowsAt> parts;
  for (size_t i = 0; i < tails_.size(); ++i) {
    const BandRows in = rows_in_band(targets, tails_[i].band, -1, device);
    const Variable narrow = dropout(tails_[i].project(ops::gather_rows(input, 1, in.rows)),
                                    place + 1 + static_cast<int64_t>(i));
    const Variable within = ops::linear_cross_entropy(narrow, tails_[i].table, in.tokens);
    parts.push_back({ops::reshape(within, {within.dim(0), 1}), in.places});
  }
  return ops::reshape(ops::scatter_rows(ops::reshape(head, {rows, 1}), parts), {rows});
}

Tensor AdaptiveSoftmax::log_probabilities(const Tensor& x) const {
  const NoGrad guard;
  Backend& compute = backend(x.device());
  Tensor head = ops::wide_linear(Variable(x), {head_, {}}).value();
  ops::log_softmax(head);
  const int64_t rows = x.dim(0);
  const int64_t vocabulary =
      tails_.empty() ? words_in_head_ : tails_.back().band.first + tails_.back().band.size;
  Tensor result = Tensor::empty({rows, vocabulary}, head.dtype(), x.device());
  const auto put = [&](const Tensor& from, int64_t first) {
    Tensor to = result.slice(1, first, from.dim(1));
    compute.copy(from, to);
  };
  put(head.slice(1, 0, words_in_head_), 0);
  for (size_t i = 0; i < tails_.size(); ++i) {
    Tensor of_band = Tensor::empty({rows, 1}, head.dtype(), x.device());
    compute.copy(head.slice(1, words_in_head_ + static_cast<int64_t>(i), 1), of_band);
    const Variable narrow = tails_[i].project(Variable(x));
    Tensor within = ops::wide_linear(narrow, {tails_[i].table, {}}).value();
    ops::log_softmax(within, of_band.view({rows}));
    put(within, tails_[i].band.first);
  }
  return result;
}

}  // namespace ssa::nn
