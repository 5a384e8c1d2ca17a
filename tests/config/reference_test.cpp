#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

#include "ssa/config/config.h"

using namespace ssa;

TEST_CASE("docs/reference/config.md is up to date", "[config]") {
  std::ifstream file(SSA_SOURCE_DIR "/docs/reference/config.md");
  REQUIRE(file.is_open());
  const std::string text(std::istreambuf_iterator<char>(file), {});
  INFO("regenerate it: ssa-train --config-reference > docs/reference/config.md");
  CHECK(text == config_reference());
}

TEST_CASE("the reference has a row for every key, none broken by its text", "[config]") {
  const std::string reference = config_reference();
  Config config;
  FieldList fields;
  config.fields(fields);
  for (const Field& field : fields.all()) {
    if (field.is_section()) continue;
    const std::string& key = field.path;
    CAPTURE(key);
    const size_t row = reference.find("| `" + key + "` |");
    REQUIRE(row != std::string::npos);
    const std::string line = reference.substr(row, reference.find('\n', row) - row);
    CHECK(std::count(line.begin(), line.end(), '|') == 6);
    CHECK(line.find("|  |  |") == std::string::npos);
  }
}

TEST_CASE("every key is explained", "[config]") {
  Config config;
  FieldList fields;
  config.fields(fields);
  for (const Field& field : fields.all()) {
    CAPTURE(field.path);
    CHECK((field.is_section() || field.comment.size() > 10));
  }
}
