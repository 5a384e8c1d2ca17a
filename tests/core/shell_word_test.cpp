#include "ssa/core/shell_word.h"

#include <catch2/catch.hpp>

using ssa::shell_word;

TEST_CASE("a word is quoted for the shell only if it needs quotes") {
  CHECK(shell_word("runs/s6_l4") == "runs/s6_l4");
  CHECK(shell_word("my run") == "'my run'");
  CHECK(shell_word("it's; rm") == R"('it'\''s; rm')");
  CHECK(shell_word("") == "''");
}
