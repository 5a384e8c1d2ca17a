#pragma once

#include <memory>
#include <utility>

#include "ssa/tasks/graph_regression.h"

#include "train/tiny_run.h"

// Molecules made in memory, and the task that learns from them.

namespace ssa::testing {

/// What the numbers of made molecules give: mostly chains with a ring, and all that is rare.
inline int64_t made_size(int64_t number) {
  constexpr std::array<int64_t, 8> kSizes = {9, 5, 1, 12, 7, 3, 20, 51};
  return number % 29 == 7 ? 51 : kSizes[static_cast<size_t>(number % 7)];
}

/// Molecule `number`: without bonds if that is 4 mod 11, in two parts if 5 mod 11. The target
/// depends on how many of its atoms are of the second kind, and on its double bonds.
inline Molecule made_molecule(int64_t number) {
  const RngKey key{.seed = 23, .step = static_cast<uint32_t>(number)};
  Molecule molecule;
  molecule.idx = 1000 + number;
  molecule.atoms = made_size(number);
  double target = 1;
  for (int64_t atom = 0; atom < molecule.atoms; ++atom) {
    const uint32_t word = key.word(static_cast<uint64_t>(atom));
    const bool second = word % 3 == 0;
    const std::array<uint8_t, 9> features = {
        second ? uint8_t{6} : uint8_t{5}, 0, 3, 5, static_cast<uint8_t>(word >> 8 & 3), 0, 1, 0, 0};
    molecule.atom_features.insert(molecule.atom_features.end(), features.begin(), features.end());
    if (second) target += 1.0 / static_cast<double>(molecule.atoms);
    for (int k = 0; k < kEncodingRank; ++k) {
      molecule.encodings.push_back(
          k < molecule.atoms ? static_cast<float>(uniform_open(word * 7 + 3 * k) - 0.5) : 0.0F);
    }
    const bool parts = number % 11 == 5 && atom == molecule.atoms / 2;
    if (atom == 0 || parts || number % 11 == 4) continue;
    const auto type = static_cast<uint8_t>(word >> 16 & 1);
    molecule.bonds.push_back(
        {static_cast<uint16_t>(atom - 1), static_cast<uint16_t>(atom), {type, 0, 0}});
    target += 0.1 * type;
  }
  if (molecule.atoms > 6 && !molecule.bonds.empty()) {
    molecule.bonds.push_back({0, 5, {3, 0, 1}});
  }
  molecule.signs = {1, -1, 1, 1, -1, 1, -1, 1};
  molecule.target = static_cast<float>(target);
  return molecule;
}

inline MoleculeReader made_molecules(int64_t train = 96, int64_t valid = 22, int64_t test = 5) {
  MoleculesInfo info;
  info.name = "made";
  info.splits = {TokenRange{0, train}, TokenRange{train, train + valid},
                 TokenRange{train + valid, train + valid + test}};
  info.largest = 51;
  info.bytes = 1234;
  info.checksum = "0123456789abcdef";
  return {info, "made molecules", made_molecule};
}

/// Graph regression on made molecules.
class MadeMoleculesTask : public GraphRegressionTask {
 public:
  explicit MadeMoleculesTask(const Config& config) : GraphRegressionTask(config) {}
  std::unique_ptr<TaskData> open_data() const override {
    return std::make_unique<GraphRegressionData>(made_molecules());
  }
};
inline std::unique_ptr<Task> make_molecules_task(const Config& config) {
  return std::make_unique<MadeMoleculesTask>(config);
}

/// Two layers that sample.
inline Config molecules_config(const Overrides& overrides = {}) {
  return parse_config(
      "task: graph_regression\n"
      "model: {layers: 2, width: 16, ffn_width: 16, heads: 2, activation: elu,\n"
      "        egt: {edge_width: 8, virtual_nodes: 2}}\n"
      "ssa: {kind: unbiased, drop: 0.3}\n"
      "data: {name: made, path: made}\n"
      "train: {steps: 8, batch_size: 8, micro_batch: 4, optimizer: {lr: 0.003},\n"
      "        schedule: {warmup_steps: 4, decay: cosine}, log_every: 1, eval_every: 0,\n"
      "        checkpoint_every: 0}\n",
      "molecules.yaml", overrides);
}

}  // namespace ssa::testing
