#include "ssa/train/run_vocabulary.h"

#include <filesystem>
#include <optional>

#include "ssa/storage/file_io.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/language_model.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/run_state.h"

namespace ssa {

namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 32;

struct NamedText {
  std::string path, text;
};

/// The vocabulary that was kept with the weights: in their file (storage/weights_file.h), or in the
/// run folder. Nothing if there is none.
std::optional<NamedText> kept_text(TokenKind kind, const LoadedCheckpoint& checkpoint) {
  if (names_weights_file(checkpoint.path)) {
    std::string text = weights_file_info(checkpoint.model).vocabulary;
    if (text.empty()) return std::nullopt;
    return NamedText{checkpoint.path, std::move(text)};
  }
  DatasetInfo info;
  info.kind = kind;
  // RUN/checkpoints/step-N
  const std::filesystem::path run =
      std::filesystem::weakly_canonical(checkpoint.path).parent_path().parent_path();
  std::string path = (run / info.vocabulary_file()).string();
  if (!path_exists(path)) return std::nullopt;
  std::string text = read_text_file(path, kMostBytes);
  return NamedText{std::move(path), std::move(text)};
}

/// The same, checked against the checkpoint.
std::optional<Vocabulary> kept_vocabulary(TokenKind kind, const LoadedCheckpoint& checkpoint) {
  const std::optional<NamedText> kept = kept_text(kind, checkpoint);
  if (!kept) return std::nullopt;
  const auto& [path, text] = *kept;
  const std::string expected = run_state_of(checkpoint).data.vocabulary_checksum;
  const std::string found = vocabulary_checksum(text);
  if (!expected.empty() && found != expected) {
    throw CheckpointError(
        "{}: its XXH3-64 checksum is {}, but the weights in {} were trained with the vocabulary of "
        "{}. Put the run's file back, or remove it where the run's data are still there",
        path, found, checkpoint.path, expected);
  }
  return kind == TokenKind::words ? vocabulary_from_text(text, path) : ids_from_text(text, path);
}

}  // namespace

Vocabulary vocabulary_of_run(const Config& config, const LoadedCheckpoint& checkpoint,
                             const TaskFactory& make_task) {
  if (config.task == TaskKind::byte_lm) return Vocabulary::bytes();
  if (!kLanguageModels.has(config.task)) {
    throw ConfigError("{}: a model of task {} has no vocabulary", checkpoint.path,
                      name(config.task));
  }
  const TokenKind kind = config.task == TaskKind::word_lm ? TokenKind::words : TokenKind::ids;
  if (auto kept = kept_vocabulary(kind, checkpoint)) return std::move(*kept);
  const std::unique_ptr<TaskData> data = open_data(make_task, config, [&] { return &checkpoint; });
  data->settled(config);  // checks that they fit
  require_same_vocabulary(checkpoint, data->identity());
  return dynamic_cast<const LanguageModelData&>(*data).dataset().vocabulary();
}

}  // namespace ssa
