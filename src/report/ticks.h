#pragma once

#include <string>
#include <vector>

namespace ssa::report {

struct Range {
  double low = 0;
  double high = 1;
  double size() const { return high - low; }
};

/// Multiples of 1, 2, 2.5 or 5 times a power of ten in the range, as many as possible but at most
/// `most` (at least 2). None if the range is empty or its bounds are not finite.
std::vector<double> nice_ticks(const Range& range, int most);

/// One label per tick, all with the same digits and the same prefix (k, M, G): "10k", "0.25".
std::vector<std::string> tick_labels(const std::vector<double>& ticks);

/// The range, extended if it is empty so that something can be drawn in it.
Range drawable(Range range);

}  // namespace ssa::report
