#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ssa/config/task_kind.h"

namespace ssa {

// How a config struct describes itself. Its fields() function names each key once, with its valid
// values, its comment and the tasks that have it. Walking the whole Config with a FieldList gives a
// flat table of keys, each tied to its member. Loading, overriding, validation, dumping and the
// reference page are loops over that table. So a new key is one member and one line in fields().

/// What a key accepts beyond its type. Made by the functions below and refined by chaining:
/// `at_least(0).unit("steps")`.
struct Rule {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false;
  bool max_excluded = false;
  size_t items = 0;  ///< lists: exact number of items; 0: any
  bool is_required = false;
  std::string_view unit_name = {};
  std::string_view zero_word = {};  ///< another way to write 0, and the one that dumps use
  TaskSet tasks = TaskSet::all();   ///< a config of another task must not set it

  constexpr Rule unit(std::string_view text) const {
    Rule rule = *this;
    rule.unit_name = text;
    return rule;
  }
  constexpr Rule zero_is(std::string_view word) const {
    Rule rule = *this;
    rule.zero_word = word;
    return rule;
  }
  constexpr Rule count(size_t number) const {
    Rule rule = *this;
    rule.items = number;
    return rule;
  }
  constexpr Rule only_for(TaskSet owners) const {
    Rule rule = *this;
    rule.tasks = owners;
    return rule;
  }

  bool accepts(double value) const {
    return (min_excluded ? value > min : value >= min) &&
           (max_excluded ? value < max : value <= max);
  }
};

constexpr Rule anything() { return {}; }
constexpr Rule required() { return {.is_required = true}; }
constexpr Rule at_least(double low) { return {.min = low}; }
constexpr Rule above(double low) { return {.min = low, .min_excluded = true}; }
constexpr Rule between(double low, double high) { return {.min = low, .max = high}; }
/// 0 < value ≤ 1.
constexpr Rule fraction() { return {.min = 0, .max = 1, .min_excluded = true}; }
/// 0 ≤ value < 1.
constexpr Rule below_one() { return {.min = 0, .max = 1, .max_excluded = true}; }

/// An enum whose spellings, in the order of its values, are `choices(E)`.
template <class E>
concept ChoiceEnum = std::is_enum_v<E> && requires(E value) {
  { choices(value)[0] } -> std::convertible_to<std::string_view>;
};

/// How `value` is written in a config.
template <ChoiceEnum E>
std::string_view name(E value) {
  static constexpr auto kNames = choices(E{});
  return kNames[static_cast<size_t>(value)];
}

/// Reference to an enum member, whatever its enum.
struct ChoiceRef {
  std::span<const std::string_view> names;
  void* target = nullptr;
  size_t (*get)(const void* target) = nullptr;
  void (*set)(void* target, size_t index) = nullptr;
};

/// Reference to a list of enum members, whatever their enum. Each value occurs at most once.
struct ChoicesRef {
  std::span<const std::string_view> names;
  void* target = nullptr;
  std::vector<size_t> (*get)(const void* target) = nullptr;
  void (*set)(void* target, const std::vector<size_t>& indices) = nullptr;
};

template <class T>
inline constexpr bool kIsChoiceList = false;
template <ChoiceEnum E>
inline constexpr bool kIsChoiceList<std::vector<E>> = true;

/// The member that a key stands for. A section has none.
using FieldRef = std::variant<std::monostate, int64_t*, uint64_t*, double*, bool*, std::string*,
                              std::vector<int64_t>*, std::vector<double>*,
                              std::vector<std::string>*, ChoiceRef, ChoicesRef>;

/// What a section is beyond its members.
struct SectionRule {
  bool number_sets_all = false;    ///< a number stands for every member
  TaskSet tasks = TaskSet::all();  ///< as in Rule; holds for its members too
};

struct Field {
  std::string path;  ///< dotted: "train.optimizer.lr"
  std::string_view comment;
  Rule rule;
  FieldRef value;
  bool number_sets_all = false;  ///< as in SectionRule

  bool is_section() const { return std::holds_alternative<std::monostate>(value); }
  /// Last part of the path ("lr").
  std::string_view name() const;
  /// Path of the section it is in ("train.optimizer"); empty at the top.
  std::string_view parent() const;
};

/// The table of keys: the visitor that fields() functions are called with.
class FieldList {
 public:
  template <class T>
  void field(std::string_view name, T& value, const Rule& rule, std::string_view comment) {
    if constexpr (ChoiceEnum<T>) {
      add(name, choice_ref(value), rule, comment);
    } else if constexpr (kIsChoiceList<T>) {
      add(name, choices_ref(value), rule, comment);
    } else {
      add(name, &value, rule, comment);
    }
  }

  template <class S>
  void section(std::string_view name, S& members, std::string_view comment,
               const SectionRule& rule = {}) {
    add(name, std::monostate{}, Rule{.tasks = rule.tasks}, comment);
    fields_.back().number_sets_all = rule.number_sets_all;
    const std::string outer = std::exchange(prefix_, fields_.back().path + ".");
    const TaskSet outer_tasks = std::exchange(tasks_, fields_.back().rule.tasks);
    members.fields(*this);
    prefix_ = outer;
    tasks_ = outer_tasks;
  }

  /// In the order of declaration, a section before its members.
  const std::vector<Field>& all() const { return fields_; }
  /// Null if there is no such key.
  const Field* find(std::string_view path) const;
  /// Direct members of a section; "" for the top level.
  std::vector<const Field*> members(std::string_view section) const;

 private:
  void add(std::string_view name, FieldRef value, const Rule& rule, std::string_view comment);

  template <class E>
  static ChoiceRef choice_ref(E& value) {
    static constexpr auto kNames = choices(E{});
    return {
        .names = kNames,
        .target = &value,
        .get =
            [](const void* target) { return static_cast<size_t>(*static_cast<const E*>(target)); },
        .set = [](void* target,
                  size_t index) { *static_cast<E*>(target) = static_cast<E>(index); }};
  }

  template <class E>
  static ChoicesRef choices_ref(std::vector<E>& values) {
    static constexpr auto kNames = choices(E{});
    return {.names = kNames,
            .target = &values,
            .get =
                [](const void* target) {
                  std::vector<size_t> indices;
                  for (const E value : *static_cast<const std::vector<E>*>(target)) {
                    indices.push_back(static_cast<size_t>(value));
                  }
                  return indices;
                },
            .set =
                [](void* target, const std::vector<size_t>& indices) {
                  auto& to = *static_cast<std::vector<E>*>(target);
                  to.clear();
                  for (const size_t index : indices) to.push_back(static_cast<E>(index));
                }};
  }

  std::vector<Field> fields_;
  std::string prefix_;
  TaskSet tasks_ = TaskSet::all();  // of the section that is being added
};

}  // namespace ssa
