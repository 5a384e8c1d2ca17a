#include "apps/fault_campaign.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "ssa/core/philox.h"

namespace ssa::testing {

namespace {

/// The date as a number, such as 20261129: the same all day, on every machine.
uint64_t date() {
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  ::gmtime_r(&now, &day);
  const int number = (day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday;
  return static_cast<uint64_t>(number);
}

uint64_t seed() {
  const char* text = std::getenv("SSA_FAULT_SEED");
  return text ? std::stoull(text) : date();
}

int64_t number_of_tries(int64_t places, int64_t otherwise) {
  const char* text = std::getenv("SSA_FAULT_TRIES");
  if (!text) return std::min(otherwise, places);
  return std::string(text) == "all" ? places : std::min<int64_t>(std::stoll(text), places);
}

/// So many different places out of 1..places, sorted.
std::set<int64_t> drawn(int64_t places, int64_t tries) {
  std::set<int64_t> result;
  const RngKey key{.seed = seed()};
  for (uint64_t i = 0; static_cast<int64_t>(result.size()) < tries; ++i) {
    const bool all = tries == places;
    result.insert(all ? static_cast<int64_t>(i) + 1
                      : 1 + static_cast<int64_t>(key.word(i) % static_cast<uint64_t>(places)));
  }
  return result;
}

void add_to_table(const std::string& attack, int64_t places, int64_t tries, int64_t survived) {
  const char* path = std::getenv("SSA_FAULT_TABLE");
  if (!path) return;
  std::ofstream(path, std::ios::app)
      << fmt::format("{}\t{}\t{}\t{}\n", attack, places, tries, survived);
}

}  // namespace

int64_t attack_at_places(const std::string& attack, int64_t places, int64_t tries,
                         const std::function<Damage(int64_t place)>& try_place) {
  const char* only = std::getenv("SSA_FAULT_ONLY");
  if (only && attack.find(only) == std::string::npos) return 0;
  REQUIRE(places > 0);
  CAPTURE(attack, places, seed());
  const std::set<int64_t> chosen = drawn(places, number_of_tries(places, tries));
  int64_t survived = 0;
  for (const int64_t place : chosen) {
    CAPTURE(place);
    const Damage damage = try_place(place);
    CHECK(damage == "");
    if (damage.empty()) ++survived;
  }
  const auto tries_made = static_cast<int64_t>(chosen.size());
  add_to_table(attack, places, tries_made, survived);
  return tries_made;
}

}  // namespace ssa::testing
