#include "ssa/data/prepare_molecules.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include "data/smiles.h"
#include "support/skip.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;
namespace fs = std::filesystem;

namespace {

/// A folder with data.csv, and what is prepared from it.
class Fixture {
 public:
  explicit Fixture(const std::string& csv, const std::string& name = "molecules")
      : options(options_for(name, {folder / "data.csv"}, folder / "out")) {
    write_bytes(folder / "data.csv", csv);
    if (name == "molecules") {
      molecules.smiles = "smiles";
      molecules.target = "gap";
    }
    options.note = [this](const std::string& text) { told += text + "\n"; };
    options.replace = true;  // cases prepare with other options into the same folder
  }
  Molecules prepare() {
    prepare_molecules(options, molecules);
    return Molecules::open(folder / "out");
  }
  std::string error(ExitCode code = ExitCode::data) {
    const std::string text = error_of(code, [&] { prepare_molecules(options, molecules); });
    CHECK_FALSE(fs::exists(folder / "out"));
    CHECK_FALSE(fs::exists(folder / "out.partial"));
    return text;
  }
  /// Writes a file of splits, and takes it.
  void split(const std::string& text, const std::string& name = "split.txt") {
    write_bytes(folder / name, text);
    molecules.split = folder / name;
  }

  TempDir folder;
  PrepareOptions options;
  MoleculeOptions molecules;
  std::string told;
};

/// Chains of carbon: row i has i % 20 + 1 atoms and the target i.
std::string chains(int64_t rows) {
  std::string csv = "name,smiles,gap\n";
  for (int64_t i = 0; i < rows; ++i) {
    csv += fmt::format("m{},{},{}\n", i, std::string(static_cast<size_t>(i % 20 + 1), 'C'), i);
  }
  return csv;
}

std::vector<int64_t> numbers_in(const Molecules& molecules, Split split) {
  std::vector<int64_t> numbers;
  const TokenRange range = molecules.info().splits[static_cast<size_t>(split)];
  for (int64_t i = range.begin; i < range.end; ++i) numbers.push_back(molecules.molecule(i).idx);
  return numbers;
}

/// An array as np.save writes it.
std::string npy(const std::vector<int64_t>& numbers) {
  std::string header =
      fmt::format("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", numbers.size());
  header.resize(117, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  bytes += header;
  return bytes.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 8);
}

std::string files_of(const std::string& folder) {
  std::string all;
  for (const char* file : {kDatasetFile, kGraphFile, kMoleculeFile, kSkippedFile}) {
    all += read_bytes(folder + "/" + file);
  }
  return all;
}

using Numbers = std::vector<int64_t>;

}  // namespace

TEST_CASE("a table of molecules becomes a folder") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  Fixture fixture(
      "\xef\xbb\xbfsmiles,\"the, name\",gap\r\n\"CCO\",\"of \"\"two\"\" lines,\nwith a comma\", "
      "1.5 \r\n"
      "[Na+].[Cl-],,+2e0\r\n\r\nC,x,\r\n");
  fixture.molecules.valid_fraction = 0;
  const Molecules molecules = fixture.prepare();
  const MoleculesInfo& info = molecules.info();
  CHECK(info.name == "molecules");
  CHECK(info.sources == std::vector<std::string>{"data.csv"});
  CHECK(info.smiles_name == "smiles");
  CHECK(info.target_name == "gap");
  CHECK(info.rdkit_version == rdkit_version());
  CHECK(info.rows == 3);
  CHECK(info.largest == 3);
  CHECK(info.train_mean == 1.75);
  CHECK(info.missing_targets == std::array<int64_t, 3>{0, 0, 1});
  CHECK(numbers_in(molecules, Split::train) == Numbers{0, 1});
  CHECK(numbers_in(molecules, Split::test) == Numbers{2});
  const Molecule ethanol = molecules.molecule(0);
  CHECK(ethanol.target == 1.5f);
  CHECK(ethanol.bonds == std::vector<Bond>{{0, 1, {}}, {1, 2, {}}});
  CHECK(ethanol.atom_features[9] == 5);
  CHECK(molecules.molecule(1).bonds.empty());
  CHECK(std::isnan(molecules.molecule(2).target));
  CHECK_NOTHROW(molecules.verify());
  CHECK(contains(fixture.told, "validation split is empty"));
}

TEST_CASE("a folder of molecules does not depend on the number of threads") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  std::string first;
  for (const int64_t threads : {1, 2, 5}) {
    // More rows than one round of a thread, with bad ones among them.
    Fixture fixture(chains(1'200) + "bad,C1CC,1\nbad,CC(C)(C)(C)C,2\n");
    fixture.molecules.threads = threads;
    fixture.molecules.on_bad_smiles = OnBadSmiles::rescue;
    const Molecules molecules = fixture.prepare();
    CHECK(molecules.info().molecules() == 1'201);
    const std::string bytes = files_of(fixture.folder / "out");
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
}

TEST_CASE("a random split is a function of seed and row") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  const auto splits = [](int64_t rows, uint64_t seed) {
    Fixture fixture(chains(rows));
    fixture.molecules.valid_fraction = 0.2;
    fixture.molecules.test_fraction = 0.1;
    fixture.molecules.seed = seed;
    const Molecules molecules = fixture.prepare();
    return std::array{numbers_in(molecules, Split::train), numbers_in(molecules, Split::valid),
                      numbers_in(molecules, Split::test)};
  };
  const auto small = splits(300, 1);
  // Six standard deviations: 42 of 60, and 31 of 30.
  CHECK(std::abs(std::ssize(small[1]) - 60) < 42);
  CHECK(std::abs(std::ssize(small[2]) - 30) < 31);
  CHECK(small[0].size() + small[1].size() + small[2].size() == 300);
  const auto large = splits(400, 1);
  for (size_t split = 0; split < 3; ++split) {
    CHECK(std::equal(small[split].begin(), small[split].end(), large[split].begin()));
  }
  CHECK(splits(300, 2) != small);
}

TEST_CASE("PCQM4Mv2 is split by its first row of validation, or another one") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  Fixture fixture("idx,smiles,homolumogap\n7,C,1\n3378605,CC,2\n3378606,CCC,3\n3452151,CCCC,\n",
                  "pcqm4mv2");
  const Molecules molecules = fixture.prepare();
  CHECK(numbers_in(molecules, Split::train) == Numbers{7, 3'378'605});
  CHECK(numbers_in(molecules, Split::valid) == Numbers{3'378'606});
  CHECK(numbers_in(molecules, Split::test) == Numbers{3'452'151});
  CHECK(molecules.info().target_name == "homolumogap");
  fixture.molecules.valid_from = 8;
  CHECK(numbers_in(fixture.prepare(), Split::train) == Numbers{7});
}

TEST_CASE("a file of splits is followed, in its order") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  const std::string csv = "smiles,gap\nC,1\nCC,2\nCCC,3\nCCCC,4\nCCCCC,\nCCCCCC,6\nCCCCCCC,\nC,8\n";
  Fixture text(csv);
  text.split("# comment\ntest-challenge : 5, 4\ntrain: 2-3, 0 # more\n\nvalid:1\ntest-dev: 6\n");
  const Molecules molecules = text.prepare();
  CHECK(numbers_in(molecules, Split::train) == Numbers{2, 3, 0});
  CHECK(numbers_in(molecules, Split::valid) == Numbers{1});
  CHECK(numbers_in(molecules, Split::test) == Numbers{6, 5, 4});
  CHECK(molecules.info().test_parts ==
        std::vector<NamedRange>{{"test-dev", {4, 5}}, {"test-challenge", {5, 7}}});
  CHECK(molecules.info().missing_targets == std::array<int64_t, 3>{0, 0, 2});
  CHECK(contains(text.told, "1 rows are in no split"));

  Fixture npz(csv);
  npz.molecules.split = npz.folder / "split.npz";
  write_archive(npz.molecules.split, "zip", "none",
                {{"train.npy", npy({2, 3, 0})},
                 {"valid.npy", npy({1})},
                 {"test-dev.npy", npy({6})},
                 {"test-challenge.npy", npy({5, 4})}});
  npz.prepare();
  CHECK(read_bytes(npz.folder / "out/molecules.bin") ==
        read_bytes(text.folder / "out/molecules.bin"));
}

TEST_CASE("rows that a file of splits trains on without a target are left out and named") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  Fixture fixture("smiles,gap\nC,1\nCC,\nCCC,nan\nCCCC,4\n");
  fixture.split("train: 0-1\nvalid: 2-3\n");
  const Molecules molecules = fixture.prepare();
  CHECK(molecules.info().missing_targets == std::array<int64_t, 3>{1, 1, 0});
  CHECK(numbers_in(molecules, Split::train) == Numbers{0});
  CHECK(numbers_in(molecules, Split::valid) == Numbers{3});
  CHECK(contains(fixture.told, "row 1 (line 3), idx 1, 'CC' (its target is empty or NaN)"));
  CHECK(contains(read_bytes(fixture.folder / "out/skipped.csv"), "2,valid,no target"));
}

TEST_CASE("SMILES that RDKit refuses are named, and are an error, left out or rescued") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  Fixture fixture("smiles,gap\nC,1\nCC(C)(C)(C)C,2\nC1CC,3\n,4\n");
  fixture.molecules.valid_fraction = 0;
  const std::string error = fixture.error();
  CHECK(contains(error, "data.csv', row 1 (line 3), idx 1: the SMILES 'CC(C)(C)(C)C'"));
  CHECK(contains(error, rdkit_version() + ": Explicit valence for atom # 1 C, 5"));
  CHECK(contains(error, "--on-bad-smiles rescue"));

  fixture.molecules.on_bad_smiles = OnBadSmiles::skip;
  CHECK(fixture.prepare().info().skipped == std::array<int64_t, 3>{3, 0, 0});
  CHECK(contains(fixture.told, "row 2 (line 4), idx 2, 'C1CC' (unclosed ring)"));
  CHECK(contains(fixture.told, "3 rows: skipped"));
  CHECK(
      contains(read_bytes(fixture.folder / "out/skipped.csv"),
               "2,train,skipped,\"unclosed ring\",\"C1CC\"\n3,train,skipped,\"it has no atoms\""));

  fixture.molecules.on_bad_smiles = OnBadSmiles::rescue;
  const Molecules rescued = fixture.prepare();
  CHECK(rescued.info().skipped == std::array<int64_t, 3>{2, 0, 0});
  CHECK(rescued.info().rescued == 1);
  CHECK(numbers_in(rescued, Split::train) == Numbers{0, 1});
  CHECK(rescued.info().on_bad_smiles == "rescue");
}

TEST_CASE("tables that cannot be read are refused by line") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  const auto error = [](const std::string& csv, const std::string& name = "molecules") {
    return Fixture(csv, name).error();
  };
  CHECK(contains(error(""), "empty"));
  CHECK(contains(error("SMILES,gap\nC,1\n"), "no column 'smiles'; its columns: SMILES, gap"));
  CHECK(contains(error("smiles,gap,smiles\nC,1,O\n"), "several columns 'smiles'"));
  CHECK(contains(error("smiles,gap\nC,1\nC\n"), "line 3: 1 fields, but 2 columns (smiles, gap)"));
  CHECK(contains(error("smiles,gap\n\"C,1\n"), "line 2: a quote is opened and never closed"));
  CHECK(contains(error("smiles,gap\n\"C\"x,1\n"), "line 2: text behind a closing quote"));
  CHECK(contains(error("smiles,gap\nC,one\n"), "row 0 (line 2), idx 0: the target 'one'"));
  CHECK(contains(error("smiles,gap\nC,1e99\n"), "'1e99' in column 'gap' is no number that an f32"));
  CHECK(contains(error("smiles,gap\nC,inf\n"), "'inf'"));
  CHECK(contains(error("smiles,gap\nC,\n"), "no row for training"));
  CHECK(contains(error("idx,smiles,homolumogap\n1,C,1\n1,C,1\n", "pcqm4mv2"),
                 "line 3): idx 1 follows idx 1"));
  CHECK(contains(error("idx,smiles,homolumogap\n-1,C,1\n", "pcqm4mv2"), "the idx '-1'"));
  CHECK(contains(error("smiles,gap\n" + std::string(2'000'000, 'C') + ",1\n"), "1048576 bytes"));
}

TEST_CASE("files of splits that cannot be followed are refused") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  const auto error = [](const std::string& text, const std::string& name = "split.txt") {
    Fixture fixture(chains(10));
    fixture.split(text, name);
    return fixture.error();
  };
  CHECK(contains(error("train: 0-5\nvalid: 5\n"), "row 5 twice: in train and in valid"));
  CHECK(contains(error("train: 0-10\n"), "row 10 in train, which the table does not have"));
  CHECK(contains(error("train: 0\nvalid: 12-1000000000000\n"), "row 12 in valid"));
  CHECK(contains(error("train: 0\ntraining: 1\n"), "a list 'training'"));
  CHECK(contains(error("train: 0\ntrain: 1\n"), "two lists 'train'"));
  CHECK(contains(error("train: 0\ntest: 1\ntest-dev: 2\n"), "a part of it"));
  CHECK(contains(error("train: 0\nvalid: 1-\n"), "line 2: lines should be like"));
  CHECK(contains(error("0 1 2\n"), "line 1: lines should be like"));
  CHECK(contains(error("train: 3-1\n"), "line 1"));
  CHECK(contains(error("# nothing\n"), "names no row"));
  CHECK(contains(error("anything", "split_dict.pt"), "numpy.savez"));
  Fixture name_of_split(chains(10));
  name_of_split.molecules.split = "train";
  CHECK(contains(name_of_split.error(), "--split 'train': there is no such file"));
  const auto npz_error = [](const std::string& array) {
    Fixture fixture(chains(10));
    fixture.molecules.split = fixture.folder / "split.npz";
    write_archive(fixture.molecules.split, "zip", "none", {{"train.npy", array}});
    return fixture.error();
  };
  CHECK(contains(npz_error("no array"), "array 'train.npy'"));
  CHECK(contains(npz_error(npy({1, 2}).substr(0, 130)), "ends early"));
  CHECK(contains(npz_error(npy({1, 2}) + "more"), "longer than its header"));
  CHECK(contains(npz_error(npy({-1})), "row -1"));
  std::string floats = npy({1});
  floats.replace(floats.find("<i8"), 3, "<f8");
  CHECK(contains(npz_error(floats), "integers"));
}

TEST_CASE("options of molecules that contradict each other are refused") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  const auto error = [](auto change) {
    Fixture fixture(chains(3));
    change(fixture);
    return fixture.error(ExitCode::usage);
  };
  CHECK(contains(error([](Fixture& it) { it.molecules.target.clear(); }),
                 "has the columns: name, smiles, gap"));
  CHECK(contains(error([](Fixture& it) { it.options.name = "pcqm4mv2"; }),
                 "--smiles and --target are for `molecules`"));
  CHECK(contains(error([](Fixture& it) {
                   it.molecules.valid_from = 1;
                   it.molecules.valid_fraction = 0.5;
                 }),
                 "give one of them"));
  CHECK(contains(error([](Fixture& it) { it.molecules.valid_fraction = -0.5; }),
                 "--valid-fraction is -0.5"));
  CHECK(contains(error([](Fixture& it) { it.molecules.valid_fraction = std::nan(""); }),
                 "--valid-fraction is nan"));
  CHECK(contains(
      error([](Fixture& it) { it.molecules.valid_fraction = it.molecules.test_fraction = 0.5; }),
      "nothing to train on"));
  CHECK(contains(error([](Fixture& it) { it.options.inputs.push_back(it.options.inputs.front()); }),
                 "2 inputs are given"));
}

TEST_CASE("molecules that are interrupted leave nothing behind") {
  if (rdkit_version().empty()) SSA_SKIP("built without RDKit");
  Fixture fixture(chains(3'000));
  int64_t reports = 0;
  fixture.options.progress = [&](const PrepareProgress& now) { reports += now.molecules > 0; };
  fixture.options.interrupted = [&] { return reports == 2; };
  fixture.molecules.threads = 1;
  CHECK(contains(fixture.error(ExitCode::interrupted), "nothing was left"));
  fixture.options.interrupted = nullptr;
  fixture.prepare();
  const std::string before = files_of(fixture.folder / "out");
  // Another table does not take the folder's place, unless it is told to.
  fs::rename(fixture.folder / "data.csv", fixture.folder / "other.csv");
  fixture.options.inputs = {fixture.folder / "other.csv"};
  fixture.options.replace = false;
  CHECK(contains(
      error_of(ExitCode::usage, [&] { prepare_molecules(fixture.options, fixture.molecules); }),
      "--replace"));
  CHECK(files_of(fixture.folder / "out") == before);
}
