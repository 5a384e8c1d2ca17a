#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "ssa/report/run_data.h"

namespace ssa::report {

/// Keeps of a run's events what a page can show, in memory that does not grow with the length of
/// the training. Evaluations and the last lines of the training stay as they are. Of a long
/// training, equally many lines in a row become one LoggedEvent.
class EventThinner {
 public:
  void add(MetricsEvent event);
  /// The events by their steps.
  std::vector<LoggedEvent> events() const;

 private:
  /// Lines of the training in a row, and the sums that their means are made of.
  struct Stretch {
    explicit Stretch(MetricsEvent line);
    void append(Stretch next);
    LoggedEvent event() const;

    LoggedEvent last;  ///< the last line, with the ranges of all
    double loss_sum = 0, rate_sum = 0;
    int64_t losses = 0, rates = 0;  ///< finite ones
  };
  void append(Stretch line);

  std::vector<Stretch> stretches_;
  std::deque<Stretch> newest_;      // lines that have not been joined yet
  int64_t lines_per_stretch_ = 1;   // a power of two
  std::vector<MetricsEvent> rest_;  // events of other splits
};

}  // namespace ssa::report
