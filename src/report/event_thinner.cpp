#include "report/event_thinner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace ssa::report {

namespace {

constexpr size_t kMostStretches = 4096;  // far more than a chart has points
constexpr size_t kNewestLines = 16;      // the summary takes the mean of the last ten losses

bool is_finite(const std::optional<double>& value) { return value && std::isfinite(*value); }

/// The smaller (with std::less) or larger of those that are set.
template <class T, class Compare>
std::optional<T> extreme(const std::optional<T>& a, const std::optional<T>& b, Compare before) {
  if (!a || !b) return a ? a : b;
  return before(*a, *b) ? a : b;
}

}  // namespace

EventThinner::Stretch::Stretch(MetricsEvent line) : last{std::move(line)} {
  if (is_finite(last.loss)) {
    last.lowest_loss = last.highest_loss = last.loss;
    loss_sum = *last.loss;
    losses = 1;
  }
  if (is_finite(last.tokens_per_second)) {
    rate_sum = *last.tokens_per_second;
    rates = 1;
  }
}

void EventThinner::Stretch::append(Stretch next) {
  const LoggedEvent before = std::exchange(last, std::move(next.last));
  last.lines += before.lines;
  last.lowest_loss = extreme(before.lowest_loss, last.lowest_loss, std::less<>());
  last.highest_loss = extreme(before.highest_loss, last.highest_loss, std::greater<>());
  last.peak_memory_bytes =
      extreme(before.peak_memory_bytes, last.peak_memory_bytes, std::greater<>());
  if (before.data_wait_seconds) {
    last.data_wait_seconds = *before.data_wait_seconds + last.data_wait_seconds.value_or(0);
  }
  loss_sum += next.loss_sum, losses += next.losses;
  rate_sum += next.rate_sum, rates += next.rates;
}

LoggedEvent EventThinner::Stretch::event() const {
  LoggedEvent event = last;
  if (event.lines == 1) return event;
  const auto mean = [](double sum, int64_t count) { return sum / static_cast<double>(count); };
  if (losses > 0) event.loss = mean(loss_sum, losses);
  if (rates > 0) event.tokens_per_second = mean(rate_sum, rates);
  return event;
}

void EventThinner::add(MetricsEvent event) {
  if (event.split != "train") {
    rest_.push_back(std::move(event));
    return;
  }
  newest_.emplace_back(std::move(event));
  if (newest_.size() <= kNewestLines) return;
  append(std::move(newest_.front()));
  newest_.pop_front();
}

void EventThinner::append(Stretch line) {
  if (!stretches_.empty() && stretches_.back().last.lines < lines_per_stretch_) {
    stretches_.back().append(std::move(line));
    return;
  }
  if (stretches_.size() == kMostStretches) {
    for (size_t i = 0; i < kMostStretches / 2; ++i) {
      Stretch joined = std::move(stretches_[2 * i]);
      joined.append(std::move(stretches_[2 * i + 1]));
      stretches_[i] = std::move(joined);
    }
    stretches_.erase(stretches_.begin() + kMostStretches / 2, stretches_.end());
    lines_per_stretch_ *= 2;
  }
  stretches_.push_back(std::move(line));
}

std::vector<LoggedEvent> EventThinner::events() const {
  std::vector<LoggedEvent> events;
  for (const Stretch& stretch : stretches_) events.push_back(stretch.event());
  for (const Stretch& line : newest_) events.push_back(line.event());
  for (const MetricsEvent& event : rest_) events.push_back({event});
  std::stable_sort(events.begin(), events.end(),
                   [](const auto& a, const auto& b) { return a.step < b.step; });
  return events;
}

}  // namespace ssa::report
