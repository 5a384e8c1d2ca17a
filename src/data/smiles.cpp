#include "smiles.h"

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <string_view>
#include <utility>

#include <GraphMol/GraphMol.h>
#include <GraphMol/MolOps.h>
#include <GraphMol/SmilesParse/SmilesParse.h>
#include <RDGeneral/RDLog.h>
#include <RDGeneral/versions.h>
#include <fmt/format.h>

#include "molecule_encoding.h"

namespace ssa {

namespace {

using RDKit::Atom;
using RdBond = RDKit::Bond;
using RDKit::RWMol;

// The values that OGB numbers, in its order; any other value gets the number behind them.
constexpr std::array kChiralTags = {Atom::CHI_UNSPECIFIED, Atom::CHI_TETRAHEDRAL_CW,
                                    Atom::CHI_TETRAHEDRAL_CCW, Atom::CHI_OTHER};
constexpr std::array kHybridizations = {Atom::SP, Atom::SP2, Atom::SP3, Atom::SP3D, Atom::SP3D2};
constexpr std::array kBondTypes = {RdBond::SINGLE, RdBond::DOUBLE, RdBond::TRIPLE,
                                   RdBond::AROMATIC};
// All values of this feature: OGB fails at others.
constexpr std::array kStereos = {RdBond::STEREONONE, RdBond::STEREOZ,     RdBond::STEREOE,
                                 RdBond::STEREOCIS,  RdBond::STEREOTRANS, RdBond::STEREOANY};

template <class Values, class Value>
uint8_t number_in(const Values& values, Value value) {
  return static_cast<uint8_t>(std::ranges::find(values, value) - values.begin());
}

/// Numbers first … last as 0 …, and any other as the number behind them.
uint8_t number_between(int first, int last, int value) {
  return static_cast<uint8_t>(value < first || value > last ? last - first + 1 : value - first);
}

void add_atom(const Atom& atom, const RDKit::RingInfo& rings, Molecule& molecule) {
  const std::array<uint8_t, kAtomFeatures> features = {
      number_between(1, 118, atom.getAtomicNum()),
      number_in(kChiralTags, atom.getChiralTag()),
      number_between(0, 10, static_cast<int>(atom.getTotalDegree())),
      number_between(-5, 5, atom.getFormalCharge()),
      number_between(0, 8, static_cast<int>(atom.getTotalNumHs())),
      number_between(0, 4, static_cast<int>(atom.getNumRadicalElectrons())),
      number_in(kHybridizations, atom.getHybridization()),
      static_cast<uint8_t>(atom.getIsAromatic()),
      static_cast<uint8_t>(rings.numAtomRings(atom.getIdx()) > 0)};
  molecule.atom_features.insert(molecule.atom_features.end(), features.begin(), features.end());
}

Bond bond_of(const RdBond& bond) {
  const unsigned int first = bond.getBeginAtomIdx(), second = bond.getEndAtomIdx();
  return {
      .begin = static_cast<uint16_t>(std::min(first, second)),
      .end = static_cast<uint16_t>(std::max(first, second)),
      .features = {number_in(kBondTypes, bond.getBondType()), number_in(kStereos, bond.getStereo()),
                   static_cast<uint8_t>(bond.getIsConjugated())}};
}

SmilesResult refused(std::string problem) {
  return {.molecule = {}, .readable = false, .bad_valence = false, .problem = std::move(problem)};
}

SmilesResult graph_of(const RWMol& mol) {
  const auto atoms = static_cast<int64_t>(mol.getNumAtoms());
  if (atoms == 0) return refused("it has no atoms");
  if (atoms > kMostAtoms) {
    return refused(fmt::format("it has {} atoms; at most {} are accepted", atoms, kMostAtoms));
  }
  SmilesResult result;
  result.molecule.atoms = atoms;
  for (const Atom* atom : mol.atoms()) add_atom(*atom, *mol.getRingInfo(), result.molecule);
  for (const RdBond* bond : mol.bonds()) {
    const Bond added = bond_of(*bond);
    if (added.features[1] == kStereos.size()) return refused("OGB does not know a bond's stereo");
    result.molecule.bonds.push_back(added);
  }
  return result;
}

/// The part of a line that RDKit reads as SMILES: a name may follow.
std::string_view without_name(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text.remove_prefix(begin);
  text = text.substr(0, text.find_first_of(" \t"));
  return text.substr(0, text.find_last_not_of("\r\n") + 1);
}

/// Atoms of a SMILES without hydrogens that RDKit removes, counted without reading it.
int64_t count_atoms(std::string_view smiles) {
  constexpr std::string_view kUnbracketed = "BCNOPSFIbcnops*";  // Cl and Br by their first letter
  int64_t atoms = 0;
  for (size_t i = 0; i < smiles.size(); ++i) {
    if (smiles[i] == '[') {
      if (!smiles.substr(i).starts_with("[H]")) ++atoms;
      i = std::min(smiles.find(']', i), smiles.size());
    } else if (kUnbracketed.find(smiles[i]) != std::string_view::npos) {
      ++atoms;
    }
  }
  return atoms;
}

/// What is wrong with a SMILES that RDKit must not get; empty if it may. RDKit takes the bytes up
/// to one that it does not know for the whole, and more than a second for thousands of atoms.
std::string problem_before_reading(std::string_view text) {
  const std::string_view smiles = without_name(text);
  const auto bad = std::ranges::find_if(smiles, [](char c) { return c <= ' ' || c > '~'; });
  if (bad != smiles.end()) {
    return fmt::format("its byte {} is {:#04x}, which no SMILES has", bad - smiles.begin(),
                       static_cast<unsigned char>(*bad));
  }
  if (count_atoms(smiles) <= kMostAtoms) return "";
  return fmt::format("it has more than {} atoms", kMostAtoms);
}

/// Calls read(), which returns a molecule or null. RDKit's exceptions become refusals.
template <class Read>
SmilesResult result_of(const std::string& smiles, Read&& read) {
  if (std::string problem = problem_before_reading(smiles); !problem.empty()) {
    return refused(std::move(problem));
  }
  try {
    const std::unique_ptr<RWMol> mol = read();
    return mol ? graph_of(*mol) : refused("");
  } catch (const RDKit::AtomValenceException& error) {
    SmilesResult result = refused(error.what());
    result.bad_valence = true;
    return result;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return refused(error.what());
  }
}

}  // namespace

std::string rdkit_version() { return RDKit::rdkitVersion; }

void check_smiles_support() {
  boost::logging::disable_logs("rdApp.*");
  // The first strings must not be read on several threads at a time (rdkit#5746).
  read_smiles("C");
}

SmilesResult read_smiles(const std::string& smiles) {
  return result_of(smiles, [&] { return std::unique_ptr<RWMol>(RDKit::SmilesToMol(smiles)); });
}

// As RDKit's author advises in rdkit#4326.
SmilesResult read_smiles_of_any_valence(const std::string& smiles) {
  return result_of(smiles, [&] {
    RDKit::SmilesParserParams params;
    params.sanitize = false;
    std::unique_ptr<RWMol> mol(RDKit::SmilesToMol(smiles, params));
    if (!mol) return mol;
    mol->updatePropertyCache(/*strict=*/false);
    unsigned int failed = 0;
    RDKit::MolOps::sanitizeMol(*mol, failed,
                               RDKit::MolOps::SANITIZE_ALL ^ RDKit::MolOps::SANITIZE_PROPERTIES);
    RDKit::MolOps::assignStereochemistry(*mol, /*cleanIt=*/true);
    return mol;
  });
}

std::string explain_smiles(const std::string& smiles) {
  std::ostringstream log;
  const RDLogger before =
      std::exchange(rdErrorLog, std::make_shared<boost::logging::rdLogger>(&log, /*owner=*/false));
  SmilesResult result = read_smiles(smiles);
  rdErrorLog = before;
  if (!result.problem.empty()) return result.problem;
  // "[15:46:04] SMILES Parse Error: unclosed ring for input: 'C1'". The first line says most.
  const std::string text = log.str();
  std::string_view reason(text);
  reason = reason.substr(0, reason.find('\n'));
  constexpr std::string_view kError = "Error: ";
  if (const size_t error = reason.find(kError); error != std::string_view::npos) {
    reason.remove_prefix(error + kError.size());
  }
  reason = reason.substr(0, reason.find(" for input:"));
  return reason.empty() ? "RDKit gives no reason" : std::string(reason);
}

}  // namespace ssa
