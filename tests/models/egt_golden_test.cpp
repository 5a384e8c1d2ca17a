// EGT-Simple against egt_pytorch: predictions, loss and gradients of a tiny model for three
// molecules, and the losses of seven steps. The fixture is made by scripts/make_egt_fixture.py.

#include <array>
#include <cmath>

#include "ssa/storage/safetensors.h"

#include "models/tiny_graphs.h"

namespace ssa {
namespace {

using namespace testing;

/// Where and in which dtype the model runs, and the largest errors: of predictions and
/// gradients relative to the largest of their tensor, of the loss relative to itself.
struct Machine {
  Device device;
  DType dtype;
  double prediction, loss, gradient, training;
};
const Machine kDouble = {Device::reference, DType::f64, 1e-10, 1e-10, 1e-10, 1e-10};
const Machine kSingle = {Device::cpu, DType::f32, 1e-5, 1e-6, 1e-4, 2e-5};
const Machine kCuda = {Device::cuda, DType::f32, 1e-5, 1e-6, 1e-4, 2e-5};

// Of PyTorch in f64: the model of bench/pytorch_egt.py, which is held to the fixture, under
// torch.optim.Adam(lr=1e-4). bench/test_pytorch_egt.py checks them.
const std::vector<double> kLosses = {5.160162264025, 4.617560102905, 4.076071238599, 3.538566176959,
                                     3.005951904707, 2.480601921942, 1.961719429438};

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  return largest(differences);
}

class GoldenEgt {
 public:
  explicit GoldenEgt(const Machine& machine)
      : machine_(machine), store_(machine.device, machine.dtype, 1) {
    std::vector<TinyGraph> graphs = read_graphs();
    const auto atom_classes = static_cast<int64_t>(shape_.pair_classes.size());
    add_virtual_classes(shape_);
    model_.emplace(shape_, store_);
    for (const Parameter& parameter : store_.all()) {
      const Tensor from =
          file_.load("weight." + parameter.name, Device::reference, MemoryCategory::data);
      REQUIRE(from.shape() == parameter.shape);
      Tensor to = Tensor::empty(from.shape(), machine.dtype, Device::reference);
      backend(Device::reference).copy(from, to);
      Tensor value = parameter.variable.value();
      value.copy_from(to);
    }
    input_ = GraphPacker(shape_, atom_classes, machine.device, machine.dtype).pack(graphs);
  }

  std::vector<double> golden(const std::string& name) const {
    return values(file_.load(name, Device::reference, MemoryCategory::data));
  }

  /// The mean over the molecules.
  double loss() const {
    double sum = 0;
    for (const double each : values(model_->losses(input_, {}).value())) sum += each;
    return sum / 3;
  }

  void check_forward() const {
    const std::vector<double> wanted = golden("prediction");
    const std::vector<double> got = values(model_->predictions(input_));
    CHECK(largest_difference(got, wanted) <= machine_.prediction * largest(wanted));
    CHECK(std::abs(loss() - golden("loss")[0]) <= machine_.loss * golden("loss")[0]);
  }

  /// Compares the gradients that are collected with those called PREFIX.NAME.
  void check_gradients(const std::string& prefix) const {
    int compared = 0;
    for (const Parameter& parameter : store_.all()) {
      const std::string name = prefix + "." + parameter.name;
      if (!file_.contains(name)) continue;
      // A shift of all of a head's logits changes nothing: this gradient is rounding alone.
      if (parameter.name.ends_with("pair_bias.bias")) continue;
      const std::vector<double> wanted = golden(name);
      CAPTURE(name);
      const double error = largest_difference(values(parameter.variable.grad()), wanted);
      CHECK(error <= machine_.gradient * scale_of(prefix, parameter.name, wanted));
      ++compared;
    }
    CHECK(compared > 10);
  }

  void check_backward() const {
    Tensor cotangent = cotangent_of({0.7, -1.3, 0.45});
    model_->outputs(input_, {}).backward(cotangent);
    check_gradients("grad");
    store_.zero_grad();
    model_->losses(input_, {}).backward(cotangent_of({1.0 / 3, 1.0 / 3, 1.0 / 3}));
    check_gradients("grad_l1");
  }

  void check_training() {
    std::vector<std::array<Tensor, 2>> moments;
    for (const Parameter& parameter : store_.all()) {
      const auto zeros = [&] {
        return Tensor::zeros(parameter.shape, machine_.dtype, machine_.device);
      };
      moments.push_back({zeros(), zeros()});
    }
    for (size_t step = 0; step < kLosses.size(); ++step) {
      CAPTURE(step);
      CHECK(loss() == Approx(kLosses[step]).epsilon(machine_.training));
      store_.zero_grad();
      model_->losses(input_, {}).backward(cotangent_of({1.0 / 3, 1.0 / 3, 1.0 / 3}));
      for (size_t i = 0; i < moments.size(); ++i) {
        AdamArgs args;
        args.parameter = store_.all()[i].variable.value();
        args.gradient = store_.all()[i].variable.grad();
        args.first_moment = moments[i][0];
        args.second_moment = moments[i][1];
        args.learning_rate = 1e-4;
        args.beta1 = 0.9;
        args.beta2 = 0.999;
        args.eps = 1e-8;
        args.step = static_cast<int64_t>(step) + 1;
        backend(machine_.device).adam_step({args});
      }
    }
  }

 private:
  static constexpr int64_t kHops = 4;

  Tensor cotangent_of(const std::vector<double>& numbers) const {
    Tensor result = Tensor::empty({3}, machine_.dtype, Device::reference);
    backend(Device::reference).copy(f64(numbers), result);
    return machine_.device == Device::reference ? result : result.to(machine_.device);
  }

  /// The largest gradient of the tensor. That of a key's bias comes from clipped logits alone and
  /// is small: it is held to the largest of query, key and value.
  double scale_of(const std::string& prefix, const std::string& name,
                  const std::vector<double>& wanted) const {
    const size_t key = name.find("key.bias");
    if (key == std::string::npos) return largest(wanted);
    const auto of = [&](const char* which) {
      return largest(golden(prefix + "." + name.substr(0, key) + which + ".bias"));
    };
    return std::max({of("query"), of("key"), of("value")});
  }

  /// The molecules. Numbers the kinds of pairs of their atoms.
  std::vector<TinyGraph> read_graphs() {
    const auto integers = [this](const char* name) {
      return file_.load(name, Device::reference, MemoryCategory::data);
    };
    const Tensor sizes = integers("sizes"), atoms = integers("atoms");
    const Tensor distances = integers("distances"), bonds = integers("bonds");
    const std::vector<double> encodings = golden("encodings"), targets = golden("target");
    std::map<std::vector<int32_t>, uint8_t> classes;
    std::vector<TinyGraph> graphs;
    for (int64_t g = 0, atom = 0, pair = 0; g < sizes.numel(); ++g) {
      TinyGraph graph{.atoms = sizes.data<int32_t>()[g],
                      .features = {},
                      .classes = {},
                      .encodings = {},
                      .target = targets[static_cast<size_t>(g)]};
      for (const int64_t last = atom + graph.atoms; atom < last; ++atom) {
        for (int64_t f = 0; f < 9; ++f) {
          graph.features.push_back(atoms.data<int32_t>()[atom * 9 + f]);
        }
        for (int64_t e = 0; e < 16; ++e) {
          graph.encodings.push_back(encodings[static_cast<size_t>(atom * 16 + e)]);
        }
      }
      for (const int64_t last = pair + graph.atoms * graph.atoms; pair < last; ++pair) {
        const int32_t* bond = bonds.data<int32_t>() + pair * 3;
        const int32_t distance = std::min<int32_t>(distances.data<int32_t>()[pair], kHops + 1);
        const auto [found, is_new] = classes.try_emplace({distance, bond[0], bond[1], bond[2]},
                                                         static_cast<uint8_t>(classes.size()));
        graph.classes.push_back(found->second);
        if (!is_new) continue;
        shape_.pair_classes.push_back({{distance}, {}, {}});
        if (bond[0] > 0) shape_.pair_classes.back().bonds = {bond[0], bond[1], bond[2]};
      }
      graphs.push_back(graph);
    }
    return graphs;
  }

  Machine machine_;
  SafetensorsFile file_{SSA_SOURCE_DIR "/tests/fixtures/golden/egt.safetensors"};
  EgtShape shape_{
      .layers = 3,
      .width = 48,
      .ffn_width = 48,
      .heads = 4,
      .edge_width = 16,
      .atom_rows =
          file_.load("weight.embedding.atom.weight", Device::reference, MemoryCategory::data)
              .dim(0),
      .distance_rows = kHops + 2,
      .pair_classes = {}};
  ParameterStore store_;
  std::optional<Egt> model_;
  ModelInput input_;
};

}  // namespace

TEST_CASE("EGT-Simple computes what egt_pytorch computes") {
  std::vector<Machine> all = {kDouble, kSingle};
  if (is_usable(Device::cuda)) all.push_back(kCuda);
  for (const Machine& machine : all) {
    INFO(name(machine.device) << " in " << name(machine.dtype));
    GoldenEgt run(machine);
    run.check_forward();
    run.check_backward();
    run.check_training();
  }
}

}  // namespace ssa
