#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ssa {

// What an evaluation tells about a model beyond its mean scores.

/// How the sub-models of an ensemble differ about one item: a number for each one of its
/// prediction.
struct Spread {
  /// Standard deviation over the sub-models: of the probability, or of the value. 0 for a single
  /// sub-model.
  std::vector<double> deviations;
  /// Of log-probabilities: mean(p·log p) - mean(p)·log(mean(p)) in nats, which is never below 0.
  /// Summed over all classes it is the mutual information of the class and the sub-model (Houlsby
  /// et al. 2011): how much of the uncertainty comes from the sub-models' disagreement. Empty for
  /// values.
  std::vector<double> information;
};

/// The class, such as a token, that a term most likely turns out to be.
struct LikeliestClass {
  int32_t number = 0;
  double probability = 0;  ///< of an ensemble: the mean over its sub-models
  double deviation = 0;    ///< standard deviation of that over the sub-models; 0 for one model
};

/// What an evaluation predicts for an item.
struct ItemPrediction {
  int64_t item = 0;
  std::span<const double> numbers;  ///< of EvalSet::prediction(), or their mean over an ensemble
  const Spread* spread = nullptr;   ///< null: there is one model only
  std::span<const LikeliestClass> likeliest = {};  ///< of each term, if EvalOptions asks for it
};

/// A table of numbers about an evaluation. Files keep it whole; the report draws it without knowing
/// the task.
struct EvalTable {
  enum class Drawing {
    table,
    bars,  ///< a bar for each row: the first column names it, the second is its length
    curve  ///< a point for each row: the first column is x, the second y
  };
  struct Column {
    std::string key;    ///< in files: "confidence"
    std::string label;  ///< for people: "mean confidence"
  };
  using Cell = std::variant<double, std::string>;

  std::string key;    ///< in files: "reliability"
  std::string title;  ///< for people: "Reliability"
  std::string about;  ///< what to see in it, in sentences
  Drawing drawing = Drawing::table;
  bool diagonal = false;  ///< of a curve: y = x is where it should lie
  std::vector<Column> columns = {};
  std::vector<std::vector<Cell>> rows = {};  ///< a cell for each column
};

/// Tables that grow with the items of an evaluation. Memory per item is a few numbers at most.
class Analysis {
 public:
  virtual ~Analysis() = default;
  /// Adds the next item.
  virtual void add(const ItemPrediction& prediction) = 0;
  /// The tables about all items so far. Those that have nothing to say are left out.
  virtual std::vector<EvalTable> tables() const = 0;
};

}  // namespace ssa
