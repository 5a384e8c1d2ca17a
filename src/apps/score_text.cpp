#include "apps/score_text.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "ssa/storage/checksum.h"

namespace ssa {

namespace {

constexpr size_t kMostShown = 60;  // bytes of a line

std::string read_all(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::error_code ignored;  // then it cannot be read either
  if (std::filesystem::is_directory(path, ignored)) {
    throw DataError("--text {} is a folder: name a file", path);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (file) text.assign(std::istreambuf_iterator<char>(file), {});
  if (!file) throw DataError("--text {}: there is no such file, or it cannot be read", path);
  return text;
}

/// The beginning of a line, whole UTF-8 characters without control characters.
std::string shown(std::string line) {
  if (line.size() > kMostShown) {
    size_t end = kMostShown;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
    line = line.substr(0, end) + "…";
  }
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return line;
}

/// The token that ends a line.
int32_t line_end(const Vocabulary& vocabulary) {
  return vocabulary.kind() == TokenKind::bytes ? int32_t{'\n'} : vocabulary.find(kEndOfLine);
}

/// How often a word stands in a text.
int64_t times_of_word(const std::string& text, std::string_view word) {
  int64_t times = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++times;
  return times;
}

}  // namespace

DataIdentity GivenText::identity(const std::string& vocabulary_checksum) const {
  Checksum checksum;
  checksum.update(text.data(), text.size());
  return {.bytes = std::ssize(text),
          .checksum = checksum.hex(),
          .vocabulary_checksum = vocabulary_checksum,
          .name = name,
          .path = path};
}

GivenText read_text(Communicator& ranks, const std::string& path) {
  GivenText given;
  given.text = ranks.broadcast(ranks.rank() == 0 ? read_all(path) : "", "the text to score");
  given.name = path == "-" ? "standard input" : std::filesystem::path(path).filename().string();
  if (path != "-") given.path = std::filesystem::absolute(path).lexically_normal().string();
  if (given.text.empty()) {
    throw DataError("--text {}: the text is empty: there is nothing to score", path);
  }
  return given;
}

void encode(GivenText& text, const Vocabulary& vocabulary) {
  try {
    text.tokens = vocabulary.encode(text.text);
  } catch (const ConfigError& error) {
    throw DataError("--text: {}: {}", text.name, error.what());
  }
  if (text.tokens.empty()) {
    throw DataError("--text: there is no word in {}: there is nothing to score", text.name);
  }
  if (vocabulary.kind() != TokenKind::words) return;
  const int64_t meant = times_of_word(text.text, kUnknown);  // who writes <unk> means it
  const int64_t unknown = std::ranges::count(text.tokens, vocabulary.unknown_token());
  text.unknown = std::max<int64_t>(0, unknown - meant);
}

std::vector<LineScore> scores_of_lines(const GivenText& text, const TermLosses& losses,
                                       const Vocabulary& vocabulary) {
  if (vocabulary.kind() != TokenKind::bytes && vocabulary.kind() != TokenKind::words) {
    throw ConfigError("--per-line: a text of token numbers has no lines; see --per-token FILE");
  }
  const int32_t end = line_end(vocabulary);
  std::vector<LineScore> lines;
  bool ended = true;
  size_t at = 0;  // in the text
  for (size_t i = 0; i < losses.loss.size(); ++i) {
    if (ended) {
      const size_t next = std::min(text.text.find('\n', at), text.text.size());
      lines.push_back({text.text.substr(at, next - at), 0, 0});
      at = next + 1;
    }
    ++lines.back().tokens;
    lines.back().nats += losses.loss[i];
    ended = losses.token[i] == end;
  }
  return lines;
}

nlohmann::json to_json(const GivenText& text, const Scored& scored,
                       const std::vector<LineScore>& lines) {
  const Metric& metric = scored.traits->metric();
  nlohmann::json json = to_json(scored);
  json["nats"] = scored.result.loss * static_cast<double>(scored.result.terms);
  if (text.unknown > 0) json["unknown"] = text.unknown;
  for (size_t i = 0; i < lines.size(); ++i) {
    const double loss = lines[i].nats / static_cast<double>(lines[i].tokens);
    json["lines"].push_back({{"line", i + 1},
                             {"tokens", lines[i].tokens},
                             {"nats", lines[i].nats},
                             {std::string(metric.key), metric.from_loss(loss)}});
  }
  return json;
}

void print(const GivenText& text, const Scored& scored, const std::vector<LineScore>& lines) {
  const EvalResult& result = scored.result;
  const TaskTraits& traits = *scored.traits;
  const Metric& metric = traits.metric();
  std::cout << fmt::format(
      "{}, {}: {}, loss {:.4f} nats per {}, {:.3f} nats in all, {} {}\n", text.name,
      name_of(scored), metric.text(result.metrics.front()), result.loss, traits.unit,
      result.loss * static_cast<double>(result.terms), result.terms, traits.terms);
  if (text.unknown > 0) {
    std::cout << fmt::format("{} words are not in the vocabulary: each is scored as {}\n",
                             text.unknown, kUnknown);
  }
  if (lines.empty()) return;
  std::cout << fmt::format("{:>6}  {:>7}  {:>10}  {:>10}  text\n", "line", traits.terms, "nats",
                           metric.label);
  for (size_t i = 0; i < lines.size(); ++i) {
    const double loss = lines[i].nats / static_cast<double>(lines[i].tokens);
    std::cout << fmt::format("{:6}  {:7}  {:10.3f}  {:10.4f}  {}\n", i + 1, lines[i].tokens,
                             lines[i].nats, metric.from_loss(loss), shown(lines[i].text));
  }
}

}  // namespace ssa
