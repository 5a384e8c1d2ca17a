#pragma once

#include <string>
#include <vector>

#include "ssa/backend/backend.h"

// The backend that the table of conformance tests tests. Each test program defines these functions
// once.

namespace ssa::testing {

Device device_under_test();
/// Dtypes of activations, other than f32, that it supports.
std::vector<DType> low_precisions();

// Variants that must compute the same: instruction sets, orders of threads.
std::vector<std::string> variants();
std::string current_variant();
void select_variant(const std::string& variant);

inline std::vector<DType> data_dtypes() {
  std::vector<DType> all = low_precisions();
  all.insert(all.begin(), DType::f32);
  return all;
}

inline Backend& tested() { return backend(device_under_test()); }

}  // namespace ssa::testing
