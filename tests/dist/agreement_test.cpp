#include "ssa/dist/agreement.h"

#include <filesystem>

#include <catch2/catch.hpp>

#include "dist/thread_ranks.h"

namespace ssa {
namespace {

/// What each rank is told, in rank order; empty: it may go on.
std::vector<std::string> verdicts(const std::vector<Statements>& statements) {
  std::vector<std::string> messages(statements.size());
  testing::on_ranks(static_cast<int>(statements.size()), [&](Communicator& ranks) {
    const auto own = static_cast<size_t>(ranks.rank());
    try {
      require_agreement(ranks, statements[own]);
    } catch (const ConfigError& error) {
      messages[own] = error.what();
    }
  });
  return messages;
}

TEST_CASE("a path is stated in full, however it is written") {
  const std::string here = std::filesystem::current_path().string();
  CHECK(stated_path("runs/a") == here + "/runs/a");
  CHECK(stated_path("./x/../runs//a/") == here + "/runs/a");
  CHECK(stated_path("/a/b/../../c") == "/c");
  CHECK(stated_path("/") == "/");
  CHECK(stated_path("") == "");
}

TEST_CASE("ranks that state the same go on, in whatever order they state it") {
  const std::vector<std::string> none(3);
  CHECK(verdicts({{}, {}, {}}) == none);
  const std::string any_bytes = "\xff\xfe\n", long_value(5000, 'x');
  CHECK(verdicts({{{"a", any_bytes}, {"b", long_value}},
                  {{"b", long_value}, {"a", any_bytes}},
                  {{"a", any_bytes}, {"b", long_value}}}) == none);
}

TEST_CASE("every rank learns each key that differs, with all values and who has them") {
  const Statements common = {{"seed", "1"}, {"path", "text"}, {"untouched", "7"}};
  Statements other = common;
  other[0].second = "2";
  other[1].second = "";
  other.push_back({"new", "yes"});
  const std::vector<std::string> told = verdicts({common, other, common, common, other});
  for (const std::string& message : told) {
    CHECK(message == told[0]);
    CHECK_THAT(message, Catch::Contains("seed: 1 on ranks 0, 2-3; 2 on ranks 1, 4"));
    CHECK_THAT(message, Catch::Contains("path: text on ranks 0, 2-3; nothing on ranks 1, 4"));
    CHECK_THAT(message, Catch::Contains("new: not stated on ranks 0, 2-3; yes on ranks 1, 4"));
    CHECK_THAT(message, !Catch::Contains("untouched"));
  }
  CHECK_THAT(verdicts({common, other})[1], Catch::Contains("seed: 1 on rank 0; 2 on rank 1"));
}

TEST_CASE("one rank agrees with itself") {
  CHECK_NOTHROW(require_agreement(*make_single_process(), {{"seed", "1"}}));
}

}  // namespace
}  // namespace ssa
