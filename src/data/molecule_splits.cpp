#include "molecule_splits.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/core/philox.h"

#include "dataset_json.h"
#include "input_stream.h"
#include "npz_reader.h"

namespace ssa {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostTextBytes = size_t{1} << 28;
/// Stream of the key that draws splits; those below it permute.
constexpr uint32_t kSplitStream = 16;

struct KnownPart {
  std::string_view name;
  Split split;
};
constexpr std::array kKnownParts = {
    KnownPart{"train", Split::train}, KnownPart{"valid", Split::valid},
    KnownPart{"test", Split::test}, KnownPart{"test-dev", Split::test},
    KnownPart{"test-challenge", Split::test}};

size_t part_called(std::string_view name, const std::string& path) {
  const auto known = std::ranges::find(kKnownParts, name, &KnownPart::name);
  if (known != kKnownParts.end()) return static_cast<size_t>(known - kKnownParts.begin());
  throw DataError(
      "'{}' has a list '{}': splits are called train, valid, and test, or test-dev and "
      "test-challenge",
      path, name);
}

std::string read_text_file(const std::string& path) {
  InputStream stream(path);
  std::string text;
  std::vector<uint8_t> buffer(size_t{1} << 16);
  while (stream.next_member()) {
    while (const size_t got = stream.read(buffer)) {
      text.append(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(got));
      if (text.size() > kMostTextBytes) throw DataError("'{}' is no list of splits", path);
    }
  }
  return text;
}

/// Reads the lines "NAME: NUMBER, NUMBER-NUMBER …" of a text.
class SplitText {
 public:
  SplitText(const std::string& path, std::string_view text) : path_(path), rest_(text) {}

  /// Calls start(name) for each line, and add(first, last) for its numbers and ranges.
  template <class Start, class Add>
  void read(Start start, Add add) {
    for (line_ = 1; !rest_.empty(); ++line_) {
      const size_t end = std::min(rest_.find('\n'), rest_.size());
      std::string_view line = rest_.substr(0, std::min(end, rest_.find('#')));
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      skip(line, " \t\r");
      if (line.empty()) continue;
      const size_t colon = line.find(':');
      if (colon == std::string_view::npos) fail();
      start(std::string(line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1)));
      line.remove_prefix(colon + 1);
      for (skip(line, ", \t\r"); !line.empty(); skip(line, ", \t\r")) {
        const int64_t first = number(line);
        int64_t last = first;
        if (line.starts_with('-')) {
          line.remove_prefix(1);
          last = number(line);
        }
        if (last < first) fail();
        add(first, last);
      }
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw DataError(
        "'{}', line {}: lines should be like \"train: 0-899, 950\", with the numbers of rows "
        "from 0",
        path_, line_);
  }
  static void skip(std::string_view& text, std::string_view bytes) {
    text.remove_prefix(std::min(text.find_first_not_of(bytes), text.size()));
  }
  int64_t number(std::string_view& text) const {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || value < 0 || value > kMostItems) fail();
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return value;
  }

  const std::string& path_;
  std::string_view rest_;
  int64_t line_ = 0;
};

}  // namespace

MoleculeSplits MoleculeSplits::from_file(const std::string& path) {
  if (path.ends_with(".pt")) {
    throw DataError(
        "'{}' is a pickled file of PyTorch, which is a program. Export it once:\n  python -c "
        "\"import torch, numpy; numpy.savez('split.npz', **torch.load('{}', "
        "weights_only=False))\"",
        path, path);
  }
  if (!fs::exists(path)) {
    throw DataError(
        "--split '{}': there is no such file. Of molecules it is an .npz with an array of row "
        "numbers for each split, or a text of lines like `train: 0-899`",
        path);
  }
  MoleculeSplits splits;
  splits.path_ = path;
  splits.rule_ = fmt::format("the file {}", fs::path(path).filename().string());
  for (const KnownPart& known : kKnownParts) {
    splits.parts_.push_back({std::string(known.name), known.split});
  }
  std::array<int64_t, kKnownParts.size()> counts{};
  std::array<bool, kKnownParts.size()> listed{};
  size_t part = 0;
  const auto start = [&](const std::string& name) {
    part = part_called(name, path);
    if (std::exchange(listed[part], true)) throw DataError("'{}' has two lists '{}'", path, name);
  };
  const auto add = [&](int64_t first, int64_t last) {
    if (first < 0) throw DataError("'{}' names row {}: rows are numbered from 0", path, first);
    splits.add_run({.first = first,
                    .count = last - first + 1,
                    .place = {.part = part, .position = counts[part]}});
    counts[part] += last - first + 1;
    if (counts[part] > kMostItems) throw DataError("'{}' names too many rows", path);
  };
  if (packed_format(path) == "zip") {
    read_npz(path, start, [&](int64_t number) { add(number, number); });
  } else {
    const std::string text = read_text_file(path);
    SplitText(path, text).read(start, add);
  }
  if (listed[2] && (listed[3] || listed[4])) {
    throw DataError("'{}' has a list 'test' and one that is a part of it", path);
  }
  splits.sort_runs();
  return splits;
}

void MoleculeSplits::add_run(const Run& run) {
  if (!runs_.empty()) {  // numbers that follow one another are one run
    Run& last = runs_.back();
    if (last.place.part == run.place.part && last.first + last.count == run.first) {
      last.count += run.count;
      return;
    }
  }
  runs_.push_back(run);
}

void MoleculeSplits::sort_runs() {
  if (runs_.empty()) throw DataError("'{}' names no row", path_);
  std::ranges::sort(runs_, {}, &Run::first);
  for (size_t i = 1; i < runs_.size(); ++i) {
    if (runs_[i - 1].first + runs_[i - 1].count <= runs_[i].first) continue;
    throw DataError("'{}' names row {} twice: in {} and in {}", path_, runs_[i].first,
                    parts_[runs_[i - 1].place.part].name, parts_[runs_[i].place.part].name);
  }
}

MoleculeSplits MoleculeSplits::from_number(int64_t first_valid) {
  MoleculeSplits splits;
  splits.rule_ = fmt::format("validation from row {}; rows without a target are test", first_valid);
  splits.parts_ = {{"train", Split::train}, {"valid", Split::valid}, {"test", Split::test}};
  splits.next_position_.resize(splits.parts_.size());
  splits.first_valid_ = first_valid;
  return splits;
}

MoleculeSplits MoleculeSplits::random(double valid, double test, uint64_t seed) {
  MoleculeSplits splits = from_number(0);
  splits.rule_ =
      fmt::format("random with seed {}: {:g}% valid, {:g}% test; rows without a target are test",
                  seed, 100 * valid, 100 * test);
  splits.drawn_ = {.valid = valid, .test = test, .seed = seed};
  return splits;
}

size_t MoleculeSplits::part_of(int64_t number, bool has_target) const {
  constexpr size_t kTrain = 0, kValid = 1, kTest = 2;
  if (!has_target) return kTest;
  if (!drawn_) return number < first_valid_ ? kTrain : kValid;
  const RngKey key{.seed = drawn_->seed, .purpose = RngPurpose::data, .stream = kSplitStream};
  const double draw = uniform_open(key.word(static_cast<uint64_t>(number)));
  if (draw < drawn_->valid) return kValid;
  return draw < drawn_->valid + drawn_->test ? kTest : kTrain;
}

std::optional<MoleculeSplits::Place> MoleculeSplits::place(int64_t number, bool has_target) {
  if (!from_a_file()) {
    const size_t part = part_of(number, has_target);
    return Place{.part = part, .position = next_position_[part]++};
  }
  if (run_ == runs_.size()) return std::nullopt;
  const Run& run = runs_[run_];
  const int64_t expected = run.first + seen_;
  if (number < expected) return std::nullopt;
  if (number > expected) throw_not_there(expected, run);
  const Place place{.part = run.place.part, .position = run.place.position + seen_};
  if (++seen_ == run.count) {
    ++run_;
    seen_ = 0;
  }
  return place;
}

void MoleculeSplits::check_all_seen() const {
  if (run_ < runs_.size()) throw_not_there(runs_[run_].first + seen_, runs_[run_]);
}

void MoleculeSplits::throw_not_there(int64_t number, const Run& run) const {
  throw DataError("'{}' names row {} in {}, which the table does not have", path_, number,
                  parts_[run.place.part].name);
}

}  // namespace ssa
