// EGT-Simple: parameters, gradients, and what must not change a prediction.

#include <cmath>

#include "ssa/core/philox.h"

#include "models/tiny_graphs.h"
#include "support/gradient_check.h"

namespace ssa {
namespace {

using namespace testing;

constexpr int64_t kAtomClasses = 5;

/// Two layers with every dropout; classes of pairs of atoms that mean nothing in particular.
EgtShape tiny_shape() {
  EgtShape shape{.layers = 2,
                 .width = 6,
                 .ffn_width = 8,
                 .heads = 2,
                 .edge_width = 4,
                 .virtual_nodes = 2,
                 .atom_features = 3,
                 .atom_rows = 10,
                 .distance_rows = 4,
                 .bond_rows = 7,
                 .encoding = 4,
                 .pair_classes = {{{0}, {}, {}},
                                  {{2}, {}, {}},
                                  {{3}, {}, {}},
                                  {{1}, {1, 4}, {}},
                                  {{1}, {2, 6}, {}}},
                 .logit_clip = 0.6,
                 .dropout = 0.1,
                 .attention_dropout = 0.2,
                 .activation_dropout = 0.1};
  add_virtual_classes(shape);
  return shape;
}

TinyGraph tiny_graph(int64_t atoms, uint32_t number, const std::vector<int32_t>& sources = {}) {
  const RngKey key{.seed = 41, .stream = number};
  TinyGraph graph;
  graph.atoms = atoms;
  graph.target = 0.3 * number - 0.5;
  graph.sources = sources;
  uint64_t at = 0;
  for (int64_t i = 0; i < atoms; ++i) {
    for (int32_t f = 0; f < 3; ++f) {
      graph.features.push_back(1 + 3 * f + static_cast<int32_t>(key.word(at++) % 3));
    }
    for (int e = 0; e < 4; ++e) graph.encodings.push_back(2 * uniform_open(key.word(at++)) - 1);
  }
  graph.classes.assign(static_cast<size_t>(atoms * atoms), 0);
  for (int64_t i = 0; i < atoms; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const auto drawn = static_cast<uint8_t>(1 + key.word(at++) % (kAtomClasses - 1));
      graph.classes[static_cast<size_t>(i * atoms + j)] = drawn;
      graph.classes[static_cast<size_t>(j * atoms + i)] = drawn;
    }
  }
  return graph;
}

/// Three graphs: of several atoms, of one, and without any sampled atom.
std::vector<TinyGraph> three_graphs() {
  return {tiny_graph(4, 0, {0, 1, 3, 5}), tiny_graph(1, 1, {0, 1, 2}), tiny_graph(2, 2, {0, 1})};
}

struct TinyEgt {
  explicit TinyEgt(const EgtShape& of = tiny_shape(), Device device = Device::reference,
                   DType dtype = DType::f64)
      : shape(of),
        store(device, dtype, 3),
        model(of, store),
        packer(of, kAtomClasses, device, dtype) {
    if (dtype != DType::f64) return;
    for (size_t i = 0; i < store.all().size(); ++i) {  // norms and biases do something too
      Tensor value = store.all()[i].variable.value();
      backend(device).add(
          value, random_f64(value.shape(), static_cast<uint32_t>(100 + i), -0.3, 0.3), value);
    }
  }
  std::vector<double> predict(const std::vector<TinyGraph>& graphs,
                              const std::vector<int64_t>& sampled = {}) const {
    return values(model.predictions(packer.pack(graphs, sampled)));
  }
  EgtShape shape;
  ParameterStore store;
  Egt model;
  GraphPacker packer;
};

const nn::Context kTraining = {.training = true, .key = {.seed = 11, .step = 3}};

/// The graph with atom order[i] in place i.
TinyGraph permuted_atoms(const TinyGraph& graph, const std::vector<int64_t>& order) {
  TinyGraph result = graph;
  const auto take = [&](auto& to, const auto& from, int64_t width) {
    for (int64_t i = 0; i < graph.atoms; ++i) {
      for (int64_t k = 0; k < width; ++k) {
        to[static_cast<size_t>(i * width + k)] =
            from[static_cast<size_t>(order[static_cast<size_t>(i)] * width + k)];
      }
    }
  };
  take(result.features, graph.features, 3);
  take(result.encodings, graph.encodings, 4);
  for (int64_t i = 0; i < graph.atoms; ++i) {
    for (int64_t j = 0; j < graph.atoms; ++j) {
      result.classes[static_cast<size_t>(i * graph.atoms + j)] = graph.classes[static_cast<size_t>(
          order[static_cast<size_t>(i)] * graph.atoms + order[static_cast<size_t>(j)])];
    }
  }
  return result;
}

}  // namespace

TEST_CASE("the published EGT-Simple has 11,411,009 parameters") {
  EgtShape shape;
  shape.pair_classes = {{{0}, {}, {}}};
  ParameterStore store = ParameterStore::dry();
  const Egt model(shape, store);
  CHECK(store.count() == 11411009);
}

TEST_CASE("an EGT begins with PyTorch's initial values, and zero rows for what is not there") {
  const EgtShape shape = [] {
    EgtShape of = tiny_shape();
    of.width = 64;
    of.heads = 4;
    return of;
  }();
  ParameterStore store(Device::cpu, DType::f32, 5);
  const Egt model(shape, store);
  for (const Parameter& parameter : store.all()) {
    CAPTURE(parameter.name);
    const std::vector<double> all = values(parameter.variable.value());
    double most = 0;
    for (const double value : all) most = std::max(most, std::abs(value));
    const auto ends = [&](const char* text) { return parameter.name.ends_with(text); };
    if (ends("query.weight") || ends("query.bias")) {
      CHECK(most <= 1 / 8.0);
      CHECK(most > 0.9 / 8);
    } else if (ends("down.weight")) {
      CHECK(most <= 1 / std::sqrt(8.0));
      CHECK(most > 0.9 / std::sqrt(8.0));
    } else if (ends("atom.weight") || ends("bond.weight")) {
      CHECK(most > 1.5);  // normal
      const auto width = static_cast<size_t>(parameter.shape[1]);
      for (size_t i = 0; i < width; ++i) CHECK(all[i] == 0);
      CHECK(all[width] != 0);
    }
  }
}

TEST_CASE("every gradient of an EGT is that of finite differences") {
  for (const bool sampled : {false, true}) {
    const TinyEgt tiny;
    const ModelInput input = tiny.packer.pack(
        three_graphs(), sampled ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{});
    std::vector<NamedLeaf> leaves;
    for (const Parameter& parameter : tiny.store.all()) {
      leaves.push_back({parameter.name, parameter.variable});
    }
    GradientCheck check;
    check.max_elements = 30;
    check_gradients(
        sampled ? "sampled" : "dense", leaves, [&] { return tiny.model.losses(input, kTraining); },
        check);
  }
}

TEST_CASE("an EGT that recomputes its activations has the same gradients") {
  std::vector<std::vector<double>> gradients;
  for (const Checkpointing what :
       {Checkpointing::none, Checkpointing::attention, Checkpointing::block}) {
    TinyEgt tiny;
    tiny.model.set_activation_checkpointing(what);
    tiny.model.losses(tiny.packer.pack(three_graphs(), {1}), kTraining).backward(f64({1, -0.5, 2}));
    gradients.emplace_back();
    for (const Parameter& parameter : tiny.store.all()) {
      for (const double g : values(parameter.variable.grad())) gradients.back().push_back(g);
    }
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) {
    // Gradients of the pair embeddings are summed in another order.
    CHECK(gradients[1][i] == Approx(gradients[0][i]).epsilon(1e-9).margin(1e-12));
    CHECK(gradients[2][i] == Approx(gradients[0][i]).epsilon(1e-9).margin(1e-12));
  }
}

TEST_CASE("a graph's prediction does not depend on its batch mates, to the last bit") {
  EgtShape small = tiny_shape(), wide = tiny_shape();
  small.width = 48;
  small.heads = 4;
  small.ffn_width = 32;
  wide.width = wide.ffn_width = 512;  // as published
  wide.heads = 32;
  const TinyEgt exact(small), fast(small, Device::cpu, DType::f32);
  const TinyEgt published(wide, Device::cpu, DType::f32);
  std::vector<TinyGraph> graphs;
  for (uint32_t i = 0; i < 24; ++i) graphs.push_back(tiny_graph(1 + i * 7 % 23, i, {0, 1}));
  graphs.push_back(tiny_graph(51, 24, {0, 1, 30}));
  for (const TinyEgt* tiny : {&exact, &fast, &published}) {
    for (const std::vector<int64_t>& sampled : {std::vector<int64_t>{}, {1}}) {
      const std::vector<double> together = tiny->predict(graphs, sampled);
      std::vector<TinyGraph> turned(graphs.rbegin(), graphs.rend());
      const std::vector<double> reversed = tiny->predict(turned, sampled);
      for (size_t i = 0; i < graphs.size(); ++i) {
        CHECK(reversed[graphs.size() - 1 - i] == together[i]);
        CHECK(tiny->predict({graphs[i]}, sampled)[0] == together[i]);
      }
    }
  }
}

TEST_CASE("the order of a graph's atoms does not matter to an EGT") {
  const TinyEgt tiny;
  const TinyGraph graph = tiny_graph(6, 3);
  const double prediction = tiny.predict({graph})[0];
  CHECK(tiny.predict({permuted_atoms(graph, {3, 0, 5, 1, 2, 4})})[0] ==
        Approx(prediction).epsilon(1e-12));
  TinyGraph other = graph;
  std::swap(other.classes[1], other.classes[2]);  // but it matters who is bonded to whom
  CHECK(std::abs(tiny.predict({other})[0] - prediction) > 1e-6);
}

TEST_CASE("sampling all nodes is dense attention, to the last bit") {
  const TinyEgt exact, fast(tiny_shape(), Device::cpu, DType::f32);
  const std::vector<TinyGraph> graphs = {tiny_graph(4, 0, {0, 1, 2, 3, 4, 5}),
                                         tiny_graph(1, 1, {0, 1, 2})};
  for (const TinyEgt* tiny : {&exact, &fast}) {
    CHECK(tiny->predict(graphs, {0, 1}) == tiny->predict(graphs));
  }
}

TEST_CASE("atoms that are no sources reach a prediction through no layer that samples") {
  const TinyEgt tiny;
  TinyGraph graph = tiny_graph(4, 0, {0, 1, 2, 4});
  const double before = tiny.predict({graph}, {0, 1})[0];
  for (const auto& [atom, seen] : {std::pair{0, true}, {1, false}, {2, true}, {3, false}}) {
    TinyGraph changed = graph;
    changed.encodings[static_cast<size_t>(4 * atom)] += 0.5;
    CHECK((tiny.predict({changed}, {0, 1})[0] != before) == seen);
    CHECK(tiny.predict({changed}, {1})[0] != before);  // the first layer sees all
  }
}

TEST_CASE("a layer that hides pairs attends to the others as if they were alone") {
  const TinyEgt tiny;
  const TinyGraph graph = tiny_graph(3, 0, {0, 1, 2, 4});  // without node 3
  ModelInput input = tiny.packer.pack({graph});
  const auto hidden = static_cast<uint8_t>(tiny.shape.pair_classes.size());
  for (const char* layer : {"classes.0", "classes.1"}) {
    const Tensor& all = input.field("classes");
    std::vector<uint8_t> classes(all.data<uint8_t>(), all.data<uint8_t>() + all.numel());
    for (size_t i = 0; i < 5; ++i) classes[i * 5 + 3] = hidden;
    input.fields.emplace_back(layer, Tensor::from(classes, {25}, Device::reference));
  }
  CHECK(values(tiny.model.predictions(input))[0] ==
        Approx(tiny.predict({graph}, {0, 1})[0]).epsilon(1e-13));
  CHECK(values(tiny.model.predictions(input))[0] != Approx(tiny.predict({graph})[0]));
}

TEST_CASE("without scaling, degrees do not matter") {
  EgtShape shape = tiny_shape();
  shape.degree_scaling = false;
  const TinyEgt scaled, plain(shape);
  const std::vector<TinyGraph> graphs = three_graphs();
  CHECK(plain.predict(graphs)[0] != Approx(scaled.predict(graphs)[0]));
}

namespace {

/// Predictions and gradients; parameters start from the same f32 numbers for every dtype.
std::map<std::string, std::vector<double>> results(Device device, DType parameters,
                                                   DType activations) {
  EgtShape shape = tiny_shape();
  shape.width = shape.ffn_width = 48;
  shape.heads = 3;
  ParameterStore store(device, parameters, 3);
  Egt model(shape, store);
  model.set_precision(activations);
  const std::vector<TinyGraph> graphs = {tiny_graph(19, 0, {0, 1, 4, 5, 9, 15}),
                                         tiny_graph(1, 1, {0, 1, 2}),
                                         tiny_graph(8, 2, {0, 1, 3, 6, 7})};
  const ModelInput input = GraphPacker(shape, kAtomClasses, device, parameters).pack(graphs, {1});
  const Variable outputs = model.outputs(input, {});
  Tensor cotangent = Tensor::empty(outputs.shape(), outputs.value().dtype(), device);
  backend(device).fill(cotangent, 0.5);
  outputs.backward(cotangent);
  std::map<std::string, std::vector<double>> all = {{"predictions", values(outputs.value())}};
  for (const Parameter& parameter : store.all()) {
    all[parameter.name] = values(parameter.variable.grad());
  }
  return all;
}

/// √Σ (a - b)²
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("an EGT in bf16 errs at most twice as much as naive arithmetic") {
  const auto exact = results(Device::reference, DType::f64, DType::f64);
  const auto naive = results(Device::reference, DType::f32, DType::bf16);
  const auto fast = results(Device::cpu, DType::f32, DType::bf16);
  for (const auto& [name, truth] : exact) {
    if (name.ends_with("pair_bias.bias")) continue;  // 0 but for rounding
    if (name == "head.2.bias") continue;             // that of the predictions, in any precision
    INFO(name);
    const double size = distance(truth, std::vector<double>(truth.size(), 0.0));
    const double naive_error = distance(naive.at(name), truth);
    CHECK(naive_error > 1e-6 * size);  // bf16 it is
    CHECK(distance(fast.at(name), truth) <= 2 * naive_error + 1e-6 * size);
  }
}

TEST_CASE("a pair class that names a row which is not there is refused") {
  EgtShape shape = tiny_shape();
  shape.pair_classes[1].distances = {4};
  ParameterStore store(Device::reference, DType::f64, 1);
  CHECK(message_of<ShapeError>([&] { Egt(shape, store); }) ==
        "egt: pair class 1 has row 4 of an embedding of 4");
}

}  // namespace ssa
