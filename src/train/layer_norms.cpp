#include "ssa/train/layer_norms.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ssa/backend/backend.h"

namespace ssa {

namespace {

bool is_number(const std::string& text, size_t begin, size_t end) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return begin < end && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                    text.begin() + static_cast<std::ptrdiff_t>(end), digit);
}

/// Tensors by layer.
using LayerTensors = std::map<std::string, std::vector<Tensor>>;

double sum_squares(Device device, const LayerTensors& tensors, const std::string& layer) {
  const auto found = tensors.find(layer);
  return found == tensors.end() ? 0 : backend(device).sum_squares(found->second);
}

/// In the order of the model.
std::vector<std::string> layers_in(const ParameterStore& store) {
  std::vector<std::string> layers;
  for (const Parameter& parameter : store.all()) {
    const std::string layer = layer_of(parameter.name);
    if (std::find(layers.begin(), layers.end(), layer) == layers.end()) layers.push_back(layer);
  }
  return layers;
}

/// The gradients that this rank has the sums of.
LayerTensors gradients_in(const Optimizer& optimizer) {
  LayerTensors gradients;
  for (const ParameterPiece& piece : optimizer.pieces()) {
    const Parameter& parameter = optimizer.store().all()[piece.parameter];
    const Tensor gradient = parameter.variable.grad();
    if (!gradient.defined()) continue;
    gradients[layer_of(parameter.name)].push_back(elements_of(piece, gradient));
  }
  return gradients;
}

LayerTensors parameters_in(const ParameterStore& store) {
  LayerTensors values;
  for (const Parameter& parameter : store.all()) {
    values[layer_of(parameter.name)].push_back(parameter.variable.value());
  }
  return values;
}

/// The sum over the ranks of each value.
std::vector<double> summed(Communicator& ranks, const std::vector<double>& own) {
  const std::vector<double> all = ranks.gather(own, "the norms of layers");
  std::vector<double> sums(own.size(), 0.0);
  for (size_t i = 0; i < all.size(); ++i) sums[i % own.size()] += all[i];
  return sums;
}

}  // namespace

std::string layer_of(const std::string& parameter) {
  size_t end = parameter.find('.');  // of the layer's name
  for (size_t begin = 0; begin < parameter.size();) {
    const size_t dot = std::min(parameter.find('.', begin), parameter.size());
    if (is_number(parameter, begin, dot)) end = dot;
    begin = dot + 1;
  }
  return parameter.substr(0, end);
}

std::vector<LayerNorms> layer_norms(const Optimizer& optimizer, Communicator& ranks, bool sharded,
                                    double loss_scale) {
  const ParameterStore& store = optimizer.store();
  const std::vector<std::string> layers = layers_in(store);
  const LayerTensors gradients = gradients_in(optimizer), parameters = parameters_in(store);
  std::vector<double> squares;
  for (const std::string& layer : layers) {
    squares.push_back(sum_squares(store.device(), gradients, layer));
  }
  if (sharded) squares = summed(ranks, squares);
  std::vector<LayerNorms> norms;
  for (size_t i = 0; i < layers.size(); ++i) {
    norms.push_back({layers[i], std::sqrt(squares[i]) / loss_scale,
                     std::sqrt(sum_squares(store.device(), parameters, layers[i]))});
  }
  return norms;
}

}  // namespace ssa
