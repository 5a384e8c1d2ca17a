#include "ssa/core/edit_distance.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace ssa;

TEST_CASE("edit distance counts swaps of neighbours as one") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("steps", "setps") == 1);
  CHECK(edit_distance("ca", "abc") == 3);
}

TEST_CASE("an edit distance up to the given one is exact, and others are above it") {
  const std::vector<std::string> words = {"",      "a",     "ab",         "ba",     "steps",
                                          "setps", "stesp", "batch_size", "widths", "batch_sise"};
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      const size_t whole = edit_distance(a, b);
      for (size_t most = 0; most < 12; ++most) {
        CAPTURE(a, b, most);
        const size_t found = edit_distance(a, b, most);
        CHECK((whole <= most ? found == whole : found > most));
      }
    }
  }
}
