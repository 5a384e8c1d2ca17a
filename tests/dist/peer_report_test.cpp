#include "dist/peer_report.h"

#include <catch2/catch.hpp>

namespace ssa::dist {
namespace {

PeerReport at(int64_t collectives, int64_t step = 40, const std::string& what = "gather of norms") {
  PeerReport report;
  report.joined = true;
  report.position = {collectives, step, what};
  return report;
}

PeerReport silent(PeerReport report, double seconds) {
  report.silent_seconds = seconds;
  return report;
}

PeerReport gone(PeerReport report) {
  report.gone = true;
  return report;
}

PeerReport left(PeerReport report) {
  report.left = true;
  return report;
}

PeerReport failed(PeerReport report, ExitCode code, const std::string& message) {
  report.failed = code;
  report.failure = message;
  return report;
}

struct Case {
  std::vector<PeerReport> reports;
  std::string expected;
};

// As rank 1 sees it, which has started 10 collectives.
const std::vector<Case> kCases = {
    {{at(10), at(10), at(10)}, ""},
    {{at(11), at(10), at(12)}, ""},
    {{at(10), at(3), at(9)}, "rank 2 is 1 collective behind (in step 40, at gather of norms)"},
    {{at(7), at(10), at(8, -1, "gather of seeds")},
     "rank 0 is 3 collectives behind (in step 40, at gather of norms); rank 2 is 2 collectives "
     "behind (at gather of seeds)"},
    {{at(10), at(10), at(0)}, "rank 2 has not come to any collective"},
    {{at(10), at(10), PeerReport{}}, "rank 2 never joined"},
    {{at(10), at(10), left(at(9))}, "rank 2 has ended already"},
    {{at(10), at(10), left(at(10))}, ""},
    {{at(10), at(10), silent(at(10), 1.9)}, ""},
    {{at(10), at(10), silent(at(10), 61)},
     "rank 2 has been silent for 61 s: stopped, or its machine cannot be reached"},
    {{at(10), at(10), gone(at(4))}, "rank 2 is gone: its process has died"},
    // Nothing else is known while rank 0 is silent.
    {{silent(at(10), 5), at(10), PeerReport{}},
     "rank 0 has been silent for 5 s: stopped, or its machine cannot be reached"},
    // The dead come before those that wait.
    {{at(7), at(10), gone(at(10)), at(9)}, "rank 2 is gone: its process has died"},
    {{failed(at(9), ExitCode::data, "no such file"), at(10), gone(at(10))},
     "rank 0 failed: no such file; rank 2 is gone: its process has died"},
    {{gone(failed(at(9), ExitCode::data, "no such file")), at(10), at(10)},
     "rank 0 failed: no such file"},
    // Who gave up because of another is not the culprit.
    {{failed(at(10), ExitCode::peer, "rank 3 is late"), at(10), at(10), at(9)},
     "rank 3 is 1 collective behind (in step 40, at gather of norms)"},
    {{failed(at(10), ExitCode::peer, "rank 1 is late"), at(10),
      gone(failed(at(10), ExitCode::peer, "rank 1 is slow"))},
     "rank 0 gave up: rank 1 is late"},
};

TEST_CASE("Who keeps the others waiting is named", "[dist]") {
  for (const Case& one : kCases) CHECK(describe_peers(one.reports, 1, 10) == one.expected);
}

TEST_CASE("Of many missing ranks the first are named", "[dist]") {
  const std::string text = describe_peers(std::vector<PeerReport>(1000, gone(at(1))), 3, 10);
  CHECK_THAT(text, Catch::Matchers::StartsWith("rank 0 is gone"));
  CHECK_THAT(text, Catch::Matchers::EndsWith("rank 8 is gone: its process has died; and 991 ranks "
                                             "more"));
}

}  // namespace
}  // namespace ssa::dist
