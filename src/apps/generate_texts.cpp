// Texts of ssa-generate: one that appears as it is drawn, or many side by side.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <numeric>
#include <sstream>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "ssa/tasks/load.h"
#include "ssa/train/run_vocabulary.h"
#include "ssa/train/stop_signal.h"

#include "apps/app.h"
#include "apps/generate.h"

namespace ssa::generating {

namespace {

constexpr int64_t kMostSideBySide = 64;  // more hardly gain: the weights are read once for all

/// How often a word stands in a text, between whitespace.
int64_t times_of_word(const std::string& text, std::string_view word) {
  std::istringstream words(text);
  return std::count(std::istream_iterator<std::string>(words), {}, word);
}

/// The tokens of prompts.
std::vector<std::vector<int32_t>> tokens_of(const Vocabulary& vocabulary,
                                            const std::vector<std::string>& prompts) {
  std::vector<std::vector<int32_t>> tokens;
  int64_t unknown = 0;
  for (const std::string& prompt : prompts) {
    tokens.push_back(vocabulary.encode(prompt));
    if (vocabulary.kind() != TokenKind::words) continue;
    // Who writes <unk> means it.
    unknown += std::ranges::count(tokens.back(), vocabulary.unknown_token()) -
               times_of_word(prompt, kUnknown);
  }
  if (unknown > 0) {
    spdlog::warn("{} words of the prompt{} are not in the vocabulary: the model reads {} for them",
                 unknown, prompts.size() > 1 ? "s" : "", kUnknown);
  }
  return tokens;
}

/// Throws ConfigError for a prompt that the model cannot read.
void require_text_options(const Options& options, const Config& config) {
  const bool ids = config.task == TaskKind::token_lm;
  if (!options.complete.empty()) throw ConfigError("--complete is for pictures; see --prompt");
  if (options.length < 0) throw ConfigError("--length N is needed: the tokens to add");
  if (ids && !options.prompt.empty()) {
    throw ConfigError(
        "--prompt is for texts, but a model of task token_lm reads the ids of a tokenizer that is "
        "not known here: encode the prompt with it, and give --prompt-ids 1,2,3");
  }
  if (options.batch > 0 && options.prompts.empty()) {
    throw ConfigError("--batch {}: of which prompts? Name a file with --prompts", options.batch);
  }
  if (!ids && !options.prompt_ids.empty()) {
    throw ConfigError("--prompt-ids is for models of task token_lm; see --prompt");
  }
}

/// Writes the prompt as the generated text will go on behind it.
void write_prompt(std::ostream& out, const Vocabulary& vocabulary, const Options& options,
                  const std::vector<int32_t>& tokens) {
  if (vocabulary.kind() == TokenKind::ids) {
    for (const int32_t token : tokens) out << vocabulary.decode(token);
    return;
  }
  out << options.prompt;
  // Words are separated by spaces. A prompt of bytes may end inside a word.
  const bool apart = vocabulary.kind() == TokenKind::words && !options.prompt.empty();
  if (apart && options.prompt.find_last_of(" \n") != options.prompt.size() - 1) out << ' ';
}

/// Continues one prompt, and writes each token as it is drawn.
int write_text(const Options& options, const Config& config, const Vocabulary& vocabulary,
               const DecoderLm& decoder, Device device) {
  const bool ids = vocabulary.kind() == TokenKind::ids;
  std::vector<int32_t> tokens =
      tokens_of(vocabulary, {ids ? options.prompt_ids : options.prompt}).front();
  NextToken next(decoder, config, reading_options(options, config), device);

  std::ofstream file;
  if (!options.output.empty()) {
    file.open(options.output, std::ios::binary);
    if (!file) throw ConfigError("--output {}: cannot be written", options.output);
  }
  std::ostream& out = options.output.empty() ? std::cout : file;
  write_prompt(out, vocabulary, options, tokens);
  tokens.insert(tokens.begin(), vocabulary.start_token());  // as in training
  Pace pace(std::string(traits_of(config.task).terms), options.length,
            options.output.empty() && ::isatty(STDOUT_FILENO) != 0);
  const auto emit = [&](int32_t token) {
    out << vocabulary.decode(token);
    out.flush();
    pace.count(1);
    return out && !StopSignal::requested();
  };
  generate(next, std::move(tokens), options.length, options.sampling, emit);
  out << '\n';
  out.flush();
  pace.finish();
  if (!out) {
    throw ConfigError("the text could not be written to {}",
                      options.output.empty() ? "standard output" : options.output);
  }
  return StopSignal::requested() ? static_cast<int>(ExitCode::interrupted) : 0;
}

/// The lines of --prompts.
std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file;
  std::error_code ignored;  // then it cannot be opened either
  if (path != "-" && !std::filesystem::is_directory(path, ignored)) {
    file.open(path, std::ios::binary);
  }
  if (path != "-" && !file.is_open()) {
    throw ConfigError("--prompts {}: there is no such file, or it cannot be read", path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  if (in.bad()) throw ConfigError("--prompts {}: it could not be read to its end", path);
  if (lines.empty()) throw ConfigError("--prompts {}: there is no line in it", path);
  return lines;
}

/// The tokens of each line, in the order of `lines`; an error names the line.
std::vector<std::vector<int32_t>> tokens_of_lines(const Vocabulary& vocabulary,
                                                  const std::vector<std::string>& lines,
                                                  const std::string& path) {
  if (vocabulary.kind() != TokenKind::ids) return tokens_of(vocabulary, lines);
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& line : lines) {
    try {
      tokens.push_back(vocabulary.encode(line));
    } catch (const ConfigError& error) {
      throw ConfigError("--prompts {}, line {}: {}", path, tokens.size() + 1, error.what());
    }
  }
  return tokens;
}

std::string json_lines(const std::vector<std::string>& prompts,
                       const std::vector<std::vector<int32_t>>& drawn,
                       const Vocabulary& vocabulary) {
  std::string lines;
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::string text;
    for (const int32_t token : drawn[i]) text += vocabulary.decode(token);
    const nlohmann::ordered_json line = {{"prompt", prompts[i]}, {"text", text}};
    // Bytes may be no UTF-8.
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return lines;
}

/// Continues the prompts of a file side by side, those of like length together.
int write_continuations(const Options& options, const Config& config, const Vocabulary& vocabulary,
                        const DecoderLm& decoder, Device device) {
  const std::vector<std::string> prompts = lines_of(options.prompts);
  std::vector<std::vector<int32_t>> tokens = tokens_of_lines(vocabulary, prompts, options.prompts);
  for (auto& text : tokens) text.insert(text.begin(), vocabulary.start_token());  // as in training
  std::vector<size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return tokens[i].size(); });

  const ReadingOptions reading = reading_options(options, config);
  const int64_t all = std::ssize(prompts);
  const int64_t fit = texts_side_by_side(decoder, config, reading, all, device);
  if (std::min(options.batch, all) > fit) {
    throw ConfigError("--batch {}: half of the free memory holds keys, values and scores of {}",
                      options.batch, fit);
  }
  const int64_t at_a_time =
      std::min(all, options.batch > 0 ? options.batch : std::min(fit, kMostSideBySide));
  if (!options.output.empty()) require_writable(options.output);
  std::vector<std::vector<int32_t>> drawn(prompts.size());
  Pace pace(std::string(traits_of(config.task).terms), options.length * all, false);
  for (int64_t first = 0; first < all && !StopSignal::requested(); first += at_a_time) {
    const int64_t end = std::min(all, first + at_a_time);
    std::vector<std::vector<int32_t>> texts;
    std::vector<uint32_t> numbers;
    for (int64_t i = first; i < end; ++i) {
      const size_t number = order[static_cast<size_t>(i)];
      texts.push_back(tokens[number]);
      numbers.push_back(static_cast<uint32_t>(number));
    }
    NextToken next(decoder, config, reading, device, end - first);
    const auto some = generate_side_by_side(next, std::move(texts), numbers, options.length,
                                            options.sampling, [&](size_t, int32_t) {
                                              pace.count(1);
                                              return !StopSignal::requested();
                                            });
    for (size_t i = 0; i < some.size(); ++i) drawn[numbers[i]] = some[i];
  }
  pace.finish();
  const std::string lines = json_lines(prompts, drawn, vocabulary);
  if (options.output.empty()) {
    std::cout << lines;
  } else {
    write_result(options.output, lines);
  }
  if (!StopSignal::requested()) return 0;
  spdlog::warn("stopped: the texts end where they were");
  return static_cast<int>(ExitCode::interrupted);
}

}  // namespace

int write_texts(const Options& options, const Config& config, const LoadedCheckpoint& checkpoint,
                const DecoderLm& decoder, Device device) {
  require_text_options(options, config);
  const Vocabulary vocabulary = vocabulary_of_run(config, checkpoint);
  if (options.mode == "ensemble") warn_of_nothing_to_draw(config);
  return options.prompts.empty()
             ? write_text(options, config, vocabulary, decoder, device)
             : write_continuations(options, config, vocabulary, decoder, device);
}

}  // namespace ssa::generating
