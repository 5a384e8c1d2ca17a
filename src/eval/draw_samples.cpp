#include "ssa/eval/draw_samples.h"

#include "ssa/eval/generate.h"
#include "ssa/eval/generate_pictures.h"
#include "ssa/tasks/language_model.h"

namespace ssa {

namespace {

/// The columns of a sheet of `count` pictures whose rows are full: the smallest divisor that makes
/// it at least as wide as high.
int64_t columns_of(int64_t count) {
  int64_t columns = 1;
  while (columns * columns < count || count % columns != 0) ++columns;
  return columns;
}

Sample sheet_of(const std::vector<Picture>& pictures) {
  const std::vector<uint8_t> png =
      encode_png(contact_sheet(pictures, columns_of(std::ssize(pictures))));
  return {"png", std::string(png.begin(), png.end())};
}

bool go_on(const SampleOptions& options, int64_t done, int64_t total) {
  return !options.progress || options.progress({done, total, 0});
}

std::optional<Sample> drawn_pictures(const Config& config, const ImageDecoder& model,
                                     const SampleOptions& options) {
  const int64_t side = config.data.image_size;
  const PictureOptions how{
      .count = options.count, .sampling = {.seed = config.train.seed}, .given = {}};
  const int64_t total = side * side * 3 * options.count;
  int64_t drawn = 0;
  bool complete = true;
  const std::vector<Picture> pictures =
      generate_pictures(model, config.model.layers, side, how, options.device, [&](int64_t more) {
        drawn += more;
        complete = go_on(options, drawn, total);
        return complete;
      });
  if (!complete) return std::nullopt;
  return sheet_of(pictures);
}

/// The prompt as it stands before the text that follows it. Words are separated by blanks; a prompt
/// of bytes may end inside a word.
std::string text_before(const Vocabulary& vocabulary, const std::string& prompt) {
  const bool apart = vocabulary.kind() == TokenKind::bytes || prompt.empty() ||
                     prompt.back() == ' ' || prompt.back() == '\n';
  return apart ? prompt : prompt + ' ';
}

std::optional<Sample> drawn_texts(const Config& config, const DecoderLm& model,
                                  const Vocabulary& vocabulary, const SampleOptions& options) {
  const TrainConfig& train = config.train;
  std::vector<int32_t> prompt = vocabulary.encode(train.sample_prompt);
  prompt.insert(prompt.begin(), vocabulary.start_token());
  std::string texts;
  int64_t drawn = 0;
  bool complete = true;
  for (int64_t i = 0; i < options.count; ++i) {
    texts += fmt::format("===== {} of {} =====\n{}", i + 1, options.count,
                         text_before(vocabulary, train.sample_prompt));
    NextToken next(model, config, {}, options.device);
    generate(next, prompt, train.sample_length, {.seed = train.seed + static_cast<uint64_t>(i)},
             [&](int32_t token) {
               texts += vocabulary.decode(token);
               complete = go_on(options, ++drawn, options.count * train.sample_length);
               return complete;
             });
    if (!complete) return std::nullopt;
    texts += "\n\n";
  }
  return Sample{"txt", std::move(texts)};
}

std::optional<Sample> training_pictures(const TrainingSet& training, const SampleOptions& options) {
  std::vector<Picture> pictures;
  for (int64_t i = 0; i < options.count; ++i) {
    pictures.push_back(training.picture(options.next_example + i));
    if (!go_on(options, i + 1, options.count)) return std::nullopt;
  }
  return sheet_of(pictures);
}

}  // namespace

std::optional<Sample> draw_samples(const Task& task, const Model& model,
                                   const TrainingSet& training, const SampleOptions& options) {
  const SampleKind kind = task.traits().samples;
  SSA_CHECK(kind != SampleKind::none && options.count > 0, "samples: {} of task {}, which has none",
            options.count, name(task.config().task));
  if (kind == SampleKind::training_pictures) return training_pictures(training, options);
  if (kind == SampleKind::drawn_texts) {
    const auto* language_model = dynamic_cast<const DecoderLm*>(&model);
    const auto* data = dynamic_cast<const LanguageModelData*>(options.data);
    SSA_CHECK(language_model && data, "samples: task {} has no texts", name(task.config().task));
    return drawn_texts(task.config(), *language_model, data->dataset().vocabulary(), options);
  }
  const auto* decoder = dynamic_cast<const ImageDecoder*>(&model);
  SSA_CHECK(decoder != nullptr, "samples: the model of task {} draws no pictures",
            name(task.config().task));
  return drawn_pictures(task.config(), *decoder, options);
}

}  // namespace ssa
