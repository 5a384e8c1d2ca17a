#include <cmath>

#include "ssa/core/error.h"
#include "ssa/data/molecules.h"

#include "dataset_files.h"
#include "dataset_json.h"
#include "find_data.h"
#include "molecule_encoding.h"
#include "molecule_record.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

/// Rows of PCQM4Mv2's splits: train, valid, and both test splits together.
constexpr std::array<int64_t, 3> kOfficialRows = {3'378'606, 73'545, 147'037 + 147'432};

std::array<int64_t, 3> counts(const DatasetReader& reader, const char* key) {
  const Json& value = reader.at(key);
  std::array<int64_t, 3> result{};
  if (!value.is_array() || value.size() != result.size()) reader.fail(key, "three numbers");
  for (size_t i = 0; i < result.size(); ++i) result[i] = reader.integer(value[i], key);
  return result;
}

std::vector<NamedRange> test_parts(const DatasetReader& reader, const TokenRange& test) {
  constexpr std::string_view kWanted = "ranges that together are splits.test";
  const Json& value = reader.at("test_parts");
  if (!value.is_object()) reader.fail("test_parts", "an object");
  std::vector<NamedRange> parts;
  int64_t end = test.begin;
  for (const auto& [name, range] : value.items()) {
    parts.push_back({name, reader.range(range, "test_parts." + name)});
    const TokenRange& part = parts.back().range;
    if (part.begin != end || part.end < part.begin) reader.fail("test_parts", kWanted);
    end = part.end;
  }
  if (!parts.empty() && end != test.end) reader.fail("test_parts", kWanted);
  return parts;
}

}  // namespace

std::string MoleculesInfo::split_description() const {
  bool official = name == "pcqm4mv2" && test_parts.size() == 2;
  for (size_t i = 0; i < splits.size(); ++i) {
    official = official && splits[i].size() + skipped[i] == kOfficialRows[i];
  }
  return official ? "official PCQM4Mv2 split" : "custom split";
}

std::string dataset_to_json(const MoleculesInfo& info) {
  Json root = dataset_head(info.name, kMoleculesKind, info.sources);
  root[kOptionsKey] = info.prepare_options;
  root["molecules"] = info.molecules();
  root["smiles_column"] = info.smiles_name;
  root["target_column"] = info.target_name;
  root["rdkit"] = info.rdkit_version;
  root["on_bad_smiles"] = info.on_bad_smiles;
  root["split_rule"] = info.split_rule;
  root["splits"] = splits_to_json(info.splits);
  Json parts = Json::object();
  for (const NamedRange& part : info.test_parts) {
    parts[part.name] = {part.range.begin, part.range.end};
  }
  root["test_parts"] = parts;
  root["official_split"] = info.split_description().starts_with("official");
  root["rows"] = info.rows;
  root["skipped"] = info.skipped;
  root["missing_targets"] = info.missing_targets;
  root["rescued"] = info.rescued;
  root["largest"] = info.largest;
  root["train_mean"] = info.train_mean;
  root["bytes"] = info.bytes;
  root["xxh3_64"] = info.checksum;
  return to_text(root);
}

MoleculesInfo molecules_from_json(std::string_view json, const std::string& path) {
  const DatasetReader reader = read_dataset_json(json, path);
  if (reader.text("kind") != kMoleculesKind) reader.fail("kind", "\"molecules\"");
  MoleculesInfo info;
  info.name = reader.text("name");
  info.sources = reader.texts("sources");
  info.prepare_options = reader.text(kOptionsKey);
  info.smiles_name = reader.text("smiles_column");
  info.target_name = reader.text("target_column");
  info.rdkit_version = reader.text("rdkit");
  info.on_bad_smiles = reader.text("on_bad_smiles");
  info.split_rule = reader.text("split_rule");
  info.splits =
      read_splits(reader, reader.integer("molecules"), "molecules", /*may_be_empty=*/true);
  if (info.split_size(Split::train) == 0) reader.fail("splits.train", "not empty");
  info.test_parts = test_parts(reader, info.splits.back());
  info.rows = reader.integer("rows");
  info.skipped = counts(reader, "skipped");
  info.missing_targets = counts(reader, "missing_targets");
  info.rescued = reader.integer("rescued");
  info.largest = reader.integer("largest");
  if (info.largest > kMostAtoms) reader.fail("largest", "a number of atoms");
  const Json& mean = reader.at("train_mean");
  if (!mean.is_number() || !std::isfinite(mean.get<double>()))
    reader.fail("train_mean", "a number");
  info.train_mean = mean.get<double>();
  info.bytes = reader.integer("bytes");
  constexpr auto kEntryBytes = static_cast<int64_t>(sizeof(MoleculeEntry));
  if (info.molecules() > info.bytes / kEntryBytes) reader.fail("bytes", "larger");
  info.checksum = reader.text("xxh3_64");
  return info;
}

bool holds_molecules(const std::string& path) {
  const fs::path description = find_data(path) / kDatasetFile;
  std::error_code ignored;
  if (!fs::exists(description, ignored)) return false;
  return read_dataset_json(read_text(description), description.string()).text("kind") ==
         kMoleculesKind;
}

}  // namespace ssa
