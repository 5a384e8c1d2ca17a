#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ssa {

enum class TaskKind {
  byte_lm,
  word_lm,
  token_lm,
  image_generation,
  image_classification,
  graph_regression
};
constexpr auto choices(TaskKind) {
  return std::to_array<std::string_view>({"byte_lm", "word_lm", "token_lm", "image_generation",
                                          "image_classification", "graph_regression"});
}

/// The tasks that have a config key.
class TaskSet {
 public:
  constexpr TaskSet(std::initializer_list<TaskKind> tasks) {
    for (const TaskKind task : tasks) bits_ |= bit(task);
  }
  static constexpr TaskSet all() {
    TaskSet set{};
    set.bits_ = ~uint32_t{0};
    return set;
  }

  constexpr bool has(TaskKind task) const { return (bits_ & bit(task)) != 0; }
  /// The tasks that are in both sets.
  constexpr TaskSet operator&(TaskSet other) const {
    other.bits_ &= bits_;
    return other;
  }
  constexpr bool operator==(const TaskSet&) const = default;
  /// The names: "byte_lm or word_lm". `quote` is put around each.
  std::string names(std::string_view quote = "") const;

 private:
  static constexpr uint32_t bit(TaskKind task) { return uint32_t{1} << static_cast<int>(task); }

  uint32_t bits_ = 0;
};

inline constexpr TaskSet kGraphRegression = {TaskKind::graph_regression};
inline constexpr TaskSet kImageClassification = {TaskKind::image_classification};
inline constexpr TaskSet kImageGeneration = {TaskKind::image_generation};
inline constexpr TaskSet kImages = {TaskKind::image_generation, TaskKind::image_classification};
inline constexpr TaskSet kLanguageModels = {TaskKind::byte_lm, TaskKind::word_lm,
                                            TaskKind::token_lm};
/// Those that learn a sequence from left to right, with a decoder.
inline constexpr TaskSet kSequences = {TaskKind::byte_lm, TaskKind::word_lm, TaskKind::token_lm,
                                       TaskKind::image_generation};
/// Those whose training shows samples: texts, or pictures.
inline constexpr TaskSet kSampled = {TaskKind::byte_lm, TaskKind::word_lm, TaskKind::token_lm,
                                     TaskKind::image_generation, TaskKind::image_classification};
/// Those whose layers are all alike.
inline constexpr TaskSet kUniformLayers = {TaskKind::byte_lm, TaskKind::word_lm, TaskKind::token_lm,
                                           TaskKind::image_generation, TaskKind::graph_regression};

}  // namespace ssa
