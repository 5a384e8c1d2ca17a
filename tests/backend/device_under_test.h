#pragma once

#include <string>
#include <vector>

#include "ssa/backend/backend.h"

// Which backend the table of conformance tests is about: a program that runs it has one definition
// of these.

namespace ssa::testing {

Device device_under_test();
/// Dtypes of activations, other than f32, that it supports.
std::vector<DType> low_precisions();

// Ways in which it can be made to compute the same: instruction sets, orders of threads.
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
