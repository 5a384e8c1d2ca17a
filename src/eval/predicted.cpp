#include "eval/predicted.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "ssa/core/error.h"

namespace ssa {

static_assert(sizeof(LikelyClass) == sizeof(double));  // so that one is sent as the other

void append(std::vector<double>& message, const Predicted& predicted) {
  message.push_back(static_cast<double>(predicted.numbers.size()));
  message.push_back(static_cast<double>(predicted.likely.size()));
  message.insert(message.end(), predicted.numbers.begin(), predicted.numbers.end());
  std::transform(predicted.likely.begin(), predicted.likely.end(), std::back_inserter(message),
                 [](const LikelyClass& one) { return std::bit_cast<double>(one); });
}

Predicted take_predicted(std::span<const double>& message) {
  const auto numbers = static_cast<size_t>(message[0]), likely = static_cast<size_t>(message[1]);
  const auto body = message.subspan(2, numbers + likely);
  Predicted predicted{{body.begin(), body.begin() + static_cast<std::ptrdiff_t>(numbers)}, {}};
  predicted.likely.reserve(likely);
  for (const double one : body.subspan(numbers)) {
    predicted.likely.push_back(std::bit_cast<LikelyClass>(one));
  }
  message = message.subspan(2 + body.size());
  return predicted;
}

namespace {

/// Classes per term. Throws ShapeError unless all terms have as many.
size_t per_term(size_t classes, size_t terms) {
  SSA_CHECK(terms == 0 ? classes == 0 : classes % terms == 0,
            "evaluation: {} likely classes for {} terms", classes, terms);
  return terms == 0 ? 0 : classes / terms;
}

}  // namespace

std::vector<LikeliestClass> likeliest_of(std::span<const LikelyClass> likely, int64_t terms) {
  const size_t classes = per_term(likely.size(), static_cast<size_t>(terms));
  std::vector<LikeliestClass> all;
  for (size_t begin = 0; begin < likely.size(); begin += classes) {
    const auto of_term = likely.subspan(begin, classes);
    const LikelyClass& best = *std::max_element(
        of_term.begin(), of_term.end(),
        [](const LikelyClass& a, const LikelyClass& b) { return a.probability < b.probability; });
    all.push_back({best.number, static_cast<double>(best.probability), 0.0});
  }
  return all;
}

void LikelyMean::add(std::span<const LikelyClass> likely) {
  const size_t classes = per_term(likely.size(), terms_.size());
  ++samples_;
  std::vector<Sum> merged;
  for (size_t t = 0; t < terms_.size(); ++t) {
    merged.clear();
    auto known = terms_[t].cbegin();
    for (const LikelyClass& one : likely.subspan(t * classes, classes)) {
      while (known != terms_[t].cend() && known->number < one.number) merged.push_back(*known++);
      const bool is_new = known == terms_[t].cend() || known->number > one.number;
      Sum sum = is_new ? Sum{one.number, 0, 0} : *known++;
      const auto probability = static_cast<double>(one.probability);
      sum.sum += probability;
      sum.squares += probability * probability;
      merged.push_back(sum);
    }
    merged.insert(merged.end(), known, terms_[t].cend());
    terms_[t] = merged;
  }
}

std::vector<LikeliestClass> LikelyMean::likeliest() const {
  std::vector<LikeliestClass> all;
  for (const std::vector<Sum>& sums : terms_) {
    if (sums.empty()) break;  // classes are not wanted
    const Sum& best = *std::max_element(sums.begin(), sums.end(),
                                        [](const Sum& a, const Sum& b) { return a.sum < b.sum; });
    const double mean = best.sum / samples_;
    const double squares = std::max(0.0, best.squares - best.sum * mean);  // rounding: not below 0
    all.push_back({best.number, mean, samples_ > 1 ? std::sqrt(squares / (samples_ - 1)) : 0.0});
  }
  return all;
}

}  // namespace ssa
