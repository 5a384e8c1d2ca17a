#include "ssa/data/molecules.h"

#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "ssa/data/image_dataset.h"

#include "data/molecule_folder.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// Two for training, one for validation, and a test split of two, one of them without a target.
std::array<std::vector<Molecule>, 3> some_molecules() {
  std::array<std::vector<Molecule>, 3> splits = {
      {{random_molecule(1, 0, 1), random_molecule(12, 0.2, 2)},
       {random_molecule(5, 0, 3)},
       {random_molecule(51, 0.05, 4), random_molecule(2, 1, 5)}}};
  splits[2][1].target = std::nanf("");
  return splits;
}

/// The error of opening a folder, and of reading all of it.
std::string open_error(const std::string& folder) {
  return error_of(ExitCode::data, [&] {
    const Molecules molecules = Molecules::open(folder);
    for (int64_t i = 0; i < molecules.info().molecules(); ++i) molecules.molecule(i);
    molecules.verify();
  });
}

/// Replaces a part of dataset.json.
void edit_json(const std::string& folder, const std::string& old, const std::string& now) {
  std::string json = read_bytes(folder + "/dataset.json");
  const size_t at = json.find(old);
  REQUIRE(at != std::string::npos);
  write_bytes(folder + "/dataset.json", json.replace(at, old.size(), now));
}

}  // namespace

TEST_CASE("a folder of molecules gives back what was written") {
  const TempDir folder;
  const auto splits = some_molecules();
  write_molecules(folder / "out", splits);
  const Molecules opened = Molecules::open(folder / "out");
  const Molecules molecules = opened;  // copies share what is open
  CHECK(molecules.path() == folder / "out");
  CHECK(molecules.info().molecules() == 5);
  CHECK(molecules.info().largest == 51);
  CHECK(molecules.info().splits == std::array<TokenRange, 3>{{{0, 2}, {2, 3}, {3, 5}}});
  CHECK(molecules.info().split_description() == "custom split");
  CHECK(std::abs(molecules.info().train_mean - (static_cast<double>(splits[0][0].target) +
                                                static_cast<double>(splits[0][1].target)) /
                                                   2) < 1e-12);
  int64_t i = 0;
  for (const std::vector<Molecule>& split : splits) {
    for (const Molecule& expected : split) {
      const Molecule found = molecules.molecule(i);
      CHECK(molecules.atoms(i++) == expected.atoms);
      CHECK(found.idx == expected.idx);
      CHECK(found.atoms == expected.atoms);
      CHECK(found.atom_features == expected.atom_features);
      CHECK(found.bonds == expected.bonds);
      CHECK(found.encodings == expected.encodings);
      CHECK(found.signs == expected.signs);
      CHECK((found.target == expected.target || (i == 5 && std::isnan(found.target))));
    }
  }
  CHECK_NOTHROW(molecules.verify());
  CHECK(holds_molecules(folder / "out"));
  CHECK_FALSE(holds_images(folder / "out"));
  CHECK_THROWS_AS(molecules.molecule(5), ShapeError);
  CHECK_THROWS_AS(molecules.atoms(-1), ShapeError);
}

TEST_CASE("two test splits are kept as parts of one") {
  MoleculesInfo info;
  info.name = "pcqm4mv2";
  info.splits = {{{0, 3'378'600}, {3'378'600, 3'452'145}, {3'452'145, 3'746'614}}};
  info.skipped = {6, 0, 0};
  info.test_parts = {{"test-dev", {3'452'145, 3'599'182}},
                     {"test-challenge", {3'599'182, 3'746'614}}};
  info.bytes = 1'000'000'000;
  const std::string json = dataset_to_json(info);
  const MoleculesInfo read = molecules_from_json(json, "copy");
  CHECK(read.test_parts == info.test_parts);
  CHECK(read.split_description() == "official PCQM4Mv2 split");
  info.test_parts[1].range.end -= 1;
  CHECK(contains(error_of(ExitCode::data, [&] { molecules_from_json(dataset_to_json(info), "x"); }),
                 "test_parts should be ranges that together are splits.test"));
}

TEST_CASE("a dataset.json of molecules that contradicts itself is refused by key") {
  const TempDir folder;
  write_molecules(folder / "good", some_molecules());
  const auto problem = [&](const std::string& old, const std::string& now) {
    fs::remove_all(folder / "bad");
    fs::copy(folder / "good", folder / "bad");
    edit_json(folder / "bad", old, now);
    return open_error(folder / "bad");
  };
  CHECK(contains(problem("\"largest\": 51", "\"largest\": 2000"), "largest"));
  CHECK(contains(problem("\"largest\": 51", "\"largest\": 50"), "entry 3 is out of range"));
  CHECK(contains(problem("\"molecules\": 5", "\"molecules\": 6"), "splits end at 5"));
  CHECK(contains(problem("\"train_mean\": ", "\"train_mean\": \"a\", \"was\": "), "train_mean"));
  CHECK(contains(problem("\"kind\": \"molecules\"", "\"kind\": \"images\""), "kind"));
  CHECK(contains(problem("\"skipped\": [", "\"skipped\": [1, "), "skipped should be three"));
  CHECK(contains(problem("\"bytes\": ", "\"bytes\": 9"), "graphs.bin' has"));
  // A folder of another version says by which command it is made anew.
  const std::string other = problem("\"format_version\": 1", "\"format_version\": 2");
  CHECK(contains(other, "format_version is 2, this program reads version 1"));
  CHECK(contains(other, "ssa-data prepare molecules"));
}

TEST_CASE("damaged files of molecules are refused") {
  const TempDir folder;
  write_molecules(folder / "good", some_molecules());
  const auto damaged = [&](const std::string& file, int64_t at, const std::string& bytes) {
    fs::remove_all(folder / "bad");
    fs::copy(folder / "good", folder / "bad");
    std::string content = read_bytes(folder / "bad/" + file);
    content.replace(static_cast<size_t>(at), bytes.size(), bytes);
    write_bytes(folder / "bad/" + file, content);
    return open_error(folder / "bad");
  };
  const std::string all_set(4, '\xff');
  CHECK(contains(damaged("molecules.bin", 8, all_set), "entry 0 is out of range"));
  CHECK(contains(damaged("molecules.bin", 32 + 20, all_set), "entry 1 is out of range"));
  CHECK(contains(damaged("molecules.bin", 32 + 24, all_set), "entry 1 is out of range"));
  CHECK(contains(damaged("molecules.bin", 32 + 16, all_set), "entry 1 is out of range"));  // NaN
  CHECK(contains(damaged("molecules.bin", 0, all_set), "checksum"));                       // idx
  CHECK(contains(damaged("graphs.bin", 0, all_set), "molecule 0"));   // an encoding that is NaN
  CHECK(contains(damaged("graphs.bin", 32, all_set), "molecule 0"));  // an atom's feature
  CHECK(contains(damaged("graphs.bin", 4, std::string(4, '\1')), "checksum"));

  fs::resize_file(folder / "good/graphs.bin", 100);
  CHECK(contains(open_error(folder / "good"), "graphs.bin' has 100 bytes"));
  fs::remove(folder / "good/molecules.bin");
  CHECK(contains(open_error(folder / "good"), "molecules.bin"));
  fs::remove(folder / "good/dataset.json");
  CHECK(contains(open_error(folder / "good"), "ssa-data prepare pcqm4mv2"));
}

TEST_CASE("a file of molecules that shrinks while it is in use is an error") {
  const TempDir folder;
  write_molecules(folder / "out", some_molecules());
  const Molecules molecules = Molecules::open(folder / "out");
  fs::resize_file(folder / "out/graphs.bin", 64);
  CHECK(contains(error_of(ExitCode::data, [&] { molecules.molecule(3); }), "has shrunk"));
}
