#pragma once

#include <cstdint>

namespace ssa {

/// One visit of a training picture. What is drawn for it is a pure function of these numbers, so
/// that ranks, threads and resumed runs see the same pictures.
struct ImageVisit {
  uint64_t seed = 0;
  int64_t epoch = 0;  ///< less than 2^32
  int64_t image = 0;  ///< number in the data set, less than 2^32
};

}  // namespace ssa
