#include "ssa/data/data_name.h"

#include <algorithm>
#include <array>
#include <filesystem>

namespace ssa {

namespace {

using namespace std::string_view_literals;

/// Published data sets, as configs name them.
constexpr std::array kPublished = {"enwik8"sv,  "wikitext2"sv, "wikitext103"sv,
                                   "cifar10"sv, "pcqm4mv2"sv,  "imagenet"sv};

bool is_published(std::string_view name) {
  return std::ranges::find(kPublished, name) != kPublished.end();
}

}  // namespace

std::string name_of_prepared(std::string_view prepared_as, const std::string& folder) {
  // `prepare imagenet` takes any pictures in the form of ImageNet.
  if (is_published(prepared_as) && prepared_as != "imagenet") return std::string(prepared_as);
  const std::filesystem::path path = std::filesystem::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string settled_name(const std::string& configured, const std::string& own) {
  if (configured.empty()) return own;
  if (!is_published(configured)) return configured;
  // A part of it may have a longer name: enwik8_first_4154064.
  return own.starts_with(configured + "_") ? configured : own;
}

}  // namespace ssa
